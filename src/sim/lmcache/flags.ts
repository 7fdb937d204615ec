import { number, type Flag } from '../server/flag.ts';
import { LMCACHE_FAULTS, parseLmcacheFault } from './lmcache-faults.ts';
import { ROOM } from './cpu-room.ts';
import { LMCACHE_APIS } from './lmcache-routes.ts';
import type { LmcacheDraft } from './lmcache-draft.ts';
import type { SimLmcacheOptions } from './lmcache-server.ts';

/** Where LMCache's controller listens. */
const PORT = 9000;

export const LMCACHE_FLAGS: readonly Flag[] = [
  {
    name: '--lmcache',
    group: 'LMCache',
    about: `the workers keep their blocks on the CPU as well (--cpu-offload-blocks, else ${ROOM} times the GPU's), and a controller knows of them`,
    set: ({ lmcache }) => void (lmcache.on = true),
  },
  flag('--lmcache-port', 'PORT', {
    about: `of the controller; 0: any free one (default ${PORT})`,
    set: ({ lmcache }, value) =>
      number(value, { least: 0, most: 65535, whole: true }, (port) => (lmcache.port = port)),
  }),
  flag('--lmcache-api', 'KIND', {
    about: `${LMCACHE_APIS.join(', ')} (one without a list of instances first came) (default controller)`,
    set: ({ lmcache }, value) => {
      const api = LMCACHE_APIS.find((known) => known === value);
      if (api === undefined) return `expected ${LMCACHE_APIS.join(', ')}`;
      lmcache.api = api;
      return undefined;
    },
  }),
  flag('--lmcache-fault', 'KIND', {
    about: `what goes wrong with it: ${Object.entries(LMCACHE_FAULTS)
      .map(([kind, meaning]) => `${kind} (${meaning})`)
      .join(', ')}`,
    set: ({ lmcache }, value) => {
      lmcache.fault = parseLmcacheFault(value);
      return lmcache.fault ? undefined : `expected ${Object.keys(LMCACHE_FAULTS).join(', ')}`;
    },
  }),
];

function flag(name: string, value: string, { about, set }: Pick<Flag, 'about' | 'set'>): Flag {
  return {
    ...{ name, value, about, group: 'LMCache' },
    set: (draft, text) => {
      draft.lmcache.named ??= name;
      return set(draft, text);
    },
  };
}

/** Undefined: there is none. A text: what is wrong. */
export function lmcacheOf(
  { on, named, ...options }: LmcacheDraft,
  host: string | undefined,
): SimLmcacheOptions | string | undefined {
  if (on === true) return { port: PORT, ...options, ...(host === undefined ? {} : { host }) };
  return named === undefined ? undefined : `${named} goes with --lmcache`;
}
