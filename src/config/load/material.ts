import { UrlPrefixes } from '../schema/url-prefixes.ts';
import type { Config } from '../schema/schema.ts';
import type { KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { settingsFromConfig } from '../settings/settings-from-config.ts';
import type { ClientSettings, Settings } from '../settings/settings.ts';
import type { TlsMaterial } from '../settings/tls-settings.ts';

/** What a configuration's files held when it was compiled. */
export interface Material {
  readonly tls: TlsMaterial;
  readonly clients: ClientSettings;
}

/** A valid configuration that can be posted to another thread: settings themselves have methods. */
export interface PortableConfig {
  readonly config: Config;
  readonly material: Material;
}

/** Compiles what was posted. All threads come to the same: nothing is read again, and nothing is checked again. */
export function settingsFromPosted({ config, material }: PortableConfig, plugins: KnownPlugins): Settings {
  const { tls, clients } = material;
  return settingsFromConfig(config, plugins, { ...tls, workers: UrlPrefixes.restored(tls.workers) }, clients);
}
