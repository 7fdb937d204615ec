import type { HookEntry } from '../schema/hooks-schema.ts';
import { parseHookUrl } from '../schema/hook-url.ts';
import { ms } from './ms.ts';
import type { KnownPlugins } from '../schema/plugin-policy-schema.ts';
import type { HookSettings, HttpHookSettings, PluginHookSettings } from './settings.ts';
import { didYouMean, nearest } from '../../base/suggest.ts';

/** A run of failures that is longer than this has breaks in it that nobody saw. */
const BREAKER_WINDOW_MS = 60_000;

/** Compiles entries that have passed the schema. */
export function hookSettings(
  entries: readonly HookEntry[],
  { breakersDisabled, plugins }: { readonly breakersDisabled: boolean; readonly plugins: KnownPlugins },
): HookSettings[] {
  return entries.map((entry) => ({
    name: entry.name,
    source: entry.plugin === undefined ? httpSource(entry) : pluginSource(entry.plugin, entry, plugins),
    timeoutMs: entry.timeout_ms,
    onError: entry.on_error,
    onReject: entry.on_reject,
    transform: entry.transform,
    tunnels: entry.tunnels,
    maxConcurrent: entry.max_concurrent_requests,
    breaker: {
      enabled: !breakersDisabled,
      failureThreshold: entry.circuit_breaker.failure_threshold,
      successThreshold: 1,
      openMs: ms(entry.circuit_breaker.timeout_duration_secs),
      windowMs: BREAKER_WINDOW_MS,
      halfOpenTrials: 1,
    },
  }));
}

/** What is wrong with hooks that plugins bring; the path begins at the entry. */
export function pluginHookProblems(
  { plugin, parameters }: HookEntry,
  plugins: KnownPlugins,
): readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] {
  if (plugin === undefined) return [];
  const reading = plugins.hook(plugin, parameters);
  if (reading?.kind === 'ok') return [];
  if (reading) {
    const path = reading.path.length > 0 ? ['parameters', ...reading.path] : ['plugin'];
    return [{ path, message: reading.message }];
  }
  if (plugins.incomplete === true) return [];
  const known = plugins.hookNames;
  const expected =
    known.length === 0 ? 'a hook of a plugin, and no plugin has any' : `one of ${known.join(', ')}`;
  const hint = didYouMean(nearest(plugin, known));
  return [{ path: ['plugin'], message: `expected ${expected}, got ${JSON.stringify(plugin)}${hint}` }];
}

function pluginSource(name: string, entry: HookEntry, plugins: KnownPlugins): PluginHookSettings {
  const reading = plugins.hook(name, entry.parameters);
  if (reading?.kind !== 'ok') throw new Error(`the hook ${name}: ${reading?.message ?? 'is unknown'}`);
  return {
    kind: 'plugin',
    plugin: reading.plugin,
    pluginName: name,
    parameters: reading.parameters,
    identity: JSON.stringify([name, entry.parameters]),
    forwardHeaders: entry.forward_headers.map((header) => header.toLowerCase()),
    overrunMs: entry.overrun_ms,
  };
}

function httpSource(entry: HookEntry): HttpHookSettings {
  const parsed = parseHookUrl(entry.url ?? '');
  if (parsed.kind === 'bad') throw new Error(`expected ${parsed.expected}`);
  return {
    kind: 'http',
    address: parsed.address,
    authorization: entry.api_key === undefined ? parsed.authorization : `Bearer ${entry.api_key}`,
    headers: Object.entries(entry.headers).flat(),
    forwardHeaders: entry.forward_headers.map((name) => name.toLowerCase()),
    maxResponseBytes: entry.max_response_bytes,
  };
}
