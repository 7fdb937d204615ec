import { CONFIG_KEYS, keyNamed, pluginParameterKey, type ConfigKey } from '../schema/keys.ts';
import { originText } from '../load/layer.ts';
import { redactConfig } from './redact.ts';
import type { Origins } from '../load/resolve.ts';
import { policyInForce } from '../schema/plugin-policy-schema.ts';
import type { Config } from '../schema/schema.ts';

/** Comments start here, where the values leave room for it. */
const COMMENT_COLUMN = 48;

/**
 * The effective configuration as a YAML file, the origin of every value behind it as a comment and secrets redacted.
 * Keys that are unset and have no default are left out.
 */
export function printConfig(config: Config, origins: Origins): string {
  const safe = redactConfig(config);
  const lines: string[] = [];
  let open: readonly string[] = [];
  for (const key of shownKeys(config)) {
    const value = valueAt(safe, key.path);
    if (value === undefined && key.name === 'policy.type') lines.push(unsetPolicy(config));
    if (value === undefined) continue;
    const sections = key.path.slice(0, -1);
    sections.forEach((name, depth) => {
      if (sections.slice(0, depth + 1).some((part, index) => part !== open[index])) {
        lines.push(`${'  '.repeat(depth)}${name}:`);
      }
    });
    open = sections;
    const origin = origins.get(key.name);
    lines.push(line(key, value, origin ? originText(origin) : 'default'));
  }
  return `${lines.join('\n')}\n`;
}

/** Every key, and behind the policy's name the parameters that a plugin has of its own. */
function shownKeys(config: Config): readonly ConfigKey[] {
  const policy = policyInForce(config);
  const own = Object.keys(policy).filter((name) => !keyNamed(`policy.${name}`));
  const parameters = own.map((name) => pluginParameterKey(name, policy.type));
  return CONFIG_KEYS.flatMap((key) => (key.name === 'policy.type' ? [key, ...parameters] : [key]));
}

/** Written down it would also be that of prefill and decode: it stays as unset as it is. */
function unsetPolicy(config: Config): string {
  return `${`# policy: ${policyInForce(config).type}`.padEnd(COMMENT_COLUMN)} # default`;
}

function line(key: ConfigKey, value: unknown, origin: string): string {
  // JSON is YAML too, and leaves no doubt about types.
  const text = `${'  '.repeat(key.path.length - 1)}${key.path.at(-1) ?? ''}: ${JSON.stringify(value)}`;
  return `${text.padEnd(COMMENT_COLUMN)} # ${origin}`;
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const name of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
