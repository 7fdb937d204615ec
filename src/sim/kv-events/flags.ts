import { number, type Flag } from '../server/flag.ts';

const PORT = { least: 0, most: 65535, whole: true } as const;

export const KV_EVENT_FLAGS: readonly Flag[] = [
  {
    name: '--kv-events',
    group: 'Cache events',
    about: "publish what the caches hold, as vLLM's --kv-events-config does",
    set: ({ kvEvents }) => void (kvEvents.on = true),
  },
  flag('--kv-events-port', 'PORT', {
    about: 'of the first worker and rank, the others follow; 0: any free ones (default 5557)',
    set: ({ kvEvents }, value) => number(value, PORT, (port) => (kvEvents.port = port)),
  }),
  flag('--kv-replay-port', 'PORT', {
    about:
      'where old messages are asked for, likewise; none: nowhere (default behind the last --kv-events-port)',
    set: ({ kvEvents }, value) => {
      if (value === 'none') return void (kvEvents.replayPort = value);
      return number(value, PORT, (port) => (kvEvents.replayPort = port));
    },
  }),
  flag('--kv-events-topic', 'TOPIC', {
    about: 'first frame of each message (default empty)',
    set: ({ kvEvents }, value) => void (kvEvents.topic = value),
  }),
  flag('--kv-events-encoding', 'KIND', {
    about: 'each event as a map (vLLM since mid-2026) or as an array (default map)',
    set: ({ kvEvents }, value) => oneOf(value, ['map', 'array'], (kind) => (kvEvents.encoding = kind)),
  }),
  flag('--kv-hashes', 'KIND', {
    about: 'int: 64 bits of the engine hashes; bytes: all of them (default int)',
    set: ({ kvEvents }, value) => oneOf(value, ['int', 'bytes'], (kind) => (kvEvents.hashes = kind)),
  }),
  flag('--kv-replay-framing', 'KIND', {
    about: 'newest: replies with the topic; older: without (default newest)',
    set: ({ kvEvents }, value) =>
      oneOf(value, ['newest', 'older'], (kind) => (kvEvents.replayFraming = kind)),
  }),
  flag('--kv-buffer-steps', 'N', {
    about: 'messages kept for who asks again (default 10000)',
    set: ({ kvEvents }, value) =>
      number(value, { least: 1, most: 1e6, whole: true }, (steps) => (kvEvents.bufferSteps = steps)),
  }),
  flag('--hash-seed', 'TEXT', {
    about: 'PYTHONHASHSEED: workers with one have equal engine hashes (default: chance)',
    set: ({ kvEvents }, value) => void (kvEvents.hashSeed = value),
  }),
];

function flag(name: string, value: string, { about, set }: Pick<Flag, 'about' | 'set'>): Flag {
  return {
    ...{ name, value, about, group: 'Cache events' },
    set: (draft, text) => {
      draft.kvEvents.named ??= name;
      return set(draft, text);
    },
  };
}

function oneOf<T extends string>(
  value: string,
  kinds: readonly T[],
  put: (kind: T) => void,
): string | undefined {
  const kind = kinds.find((known) => known === value);
  if (kind === undefined) return `expected ${kinds.join(' or ')}`;
  put(kind);
  return undefined;
}
