import { isObject, type JsonObject } from '../api/prompt-sink.ts';
import { readYaml } from '../config/load/file.ts';
import type { Reading } from '../config/load/layer.ts';
import { isBuiltInPolicy } from '../config/schema/plugin-policy-schema.ts';
import { REDACTED } from '../config/show/redact.ts';

/** What workers are held against. The rest is about the router itself. */
const KEYS = [
  ...['tokenizer_path', 'model_path', 'tokenizer_model_map', 'exact_tokens'],
  ...['lmcache', 'kv_events', 'cache_knowledge', 'policy'],
] as const;
/** ...and of pairs: how they hand over. */
const PD_KEYS = ['kv_connector', 'discovery_address'] as const;

/**
 * What of a running router's `/admin/config` its workers are to be held against, as a source of configuration. Secrets are not in it,
 * and a policy that a plugin brings is not known here.
 */
export function readRouterConfig(config: JsonObject): Reading {
  const told = KEYS.flatMap((key) => (isOfUse(key, config[key]) ? [[key, withoutSecrets(config[key])]] : []));
  const pd = isObject(config['pd']) ? config['pd'] : {};
  const ofPairs = PD_KEYS.flatMap((key) =>
    pd[key] === undefined || pd[key] === null ? [] : [[key, pd[key]]],
  );
  return readYaml(
    JSON.stringify(Object.fromEntries([...told, ['pd', Object.fromEntries(ofPairs)]])),
    "the router's configuration",
  );
}

function isOfUse(key: string, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (key !== 'policy') return true;
  const type = isObject(value) ? value['type'] : value;
  return typeof type === 'string' && isBuiltInPolicy(type);
}

function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (!isObject(value)) return value;
  const open = Object.entries(value).filter(([, inner]) => inner !== REDACTED);
  return Object.fromEntries(open.map(([name, inner]) => [name, withoutSecrets(inner)]));
}
