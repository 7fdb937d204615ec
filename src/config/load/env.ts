import { CONFIG_KEYS, ENV_PREFIX } from '../schema/keys.ts';
import type { Entry, Origin, Problem, Reading } from './layer.ts';
import { nearest } from '../../base/suggest.ts';
import { unknownName } from '../schema/not-offered.ts';
import { parseText } from './text-value.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export const CONFIG_FILE_VARIABLE = `${ENV_PREFIX}CONFIG_FILE`;

export interface EnvReading extends Reading {
  readonly configFile: string | undefined;
  /** Variables that Kubernetes made for a Service called `vllm-router` (or `vllm-router-...`). */
  readonly ignored: readonly string[];
}

/** Read without the prefix as well, as the reference routers do. */
const PLAIN_VARIABLE = 'API_KEY_VALIDATION_URLS';

const BY_VARIABLE = new Map(
  CONFIG_KEYS.flatMap((key) => (key.env === undefined ? [] : [[key.env, key] as const])),
);

/**
 * For a Service named like the router, Kubernetes puts `VLLM_ROUTER_PORT=tcp://10.0.0.1:80` and its kin into every pod of
 * the namespace. They are no settings.
 */
export function madeByKubernetes(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//i.test(value))
  );
}

/** Reads the `VLLM_ROUTER_*` variables. An empty variable counts as not set. */
export function readEnv(
  env: Environment,
  fromFile: { path: string; variables: Environment } | undefined,
): EnvReading {
  const layer = new Map<string, Entry>();
  const problems: Problem[] = [];
  const ignored: string[] = [];
  const own = prefixed(env);
  let configFile: string | undefined;
  for (const [name, value] of new Map([...prefixed(fromFile?.variables ?? {}), ...own])) {
    const file = own.has(name) ? undefined : fromFile?.path;
    const origin: Origin = { kind: 'env', name, ...(file === undefined ? {} : { file }) };
    const key = BY_VARIABLE.get(name);
    if (madeByKubernetes(name, value)) ignored.push(name);
    else if (name === CONFIG_FILE_VARIABLE) configFile = value;
    else if (key) layer.set(key.name, { key, value: parseText(key, value), origin: () => origin });
    else
      problems.push({
        at: name,
        message: unknownName('setting', name, () =>
          nearest(name, [CONFIG_FILE_VARIABLE, ...BY_VARIABLE.keys()]),
        ),
      });
  }
  return { layer, problems, configFile, ignored };
}

function prefixed(env: Environment): Map<string, string> {
  const found = new Map<string, string>();
  const plain = env[PLAIN_VARIABLE];
  if (plain !== undefined && plain !== '') found.set(ENV_PREFIX + PLAIN_VARIABLE, plain);
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(ENV_PREFIX) && value !== undefined && value !== '') found.set(name, value);
  }
  return found;
}
