import * as z from 'zod';
import type { KvReceiver, KvTransferTraits } from '../settings/pd-settings.ts';
import { count, host, port, text } from './field.ts';

/** Tensor-parallel ranks of one engine, each of which receives for itself. */
const MOST_RANKS = 256;
/** Where LMCache's receivers listen unless told otherwise. */
const INIT_PORT = 8300;
const ALLOC_PORT = 8400;

const usedPort = () => port().min(1);
const ports = () => z.array(usedPort()).min(1).max(MOST_RANKS);

const receiver = z
  .strictObject({
    host: host().nullish(),
    init_ports: ports().nullish(),
    alloc_ports: ports().nullish(),
  })
  .refine(
    ({ init_ports: init, alloc_ports: alloc }) => (init?.length ?? 1) === (alloc?.length ?? 1),
    'expected as many alloc_ports as init_ports: one of each for every tensor-parallel rank',
  );

/** What a worker's entry says of how its KV blocks are handed over. */
export const workerKvTransfer = z.strictObject({
  engine_id: text().max(1024).nullish(),
  host: host().nullish(),
  port: usedPort().nullish(),
  tp_size: count(1).max(MOST_RANKS).nullish(),
  pp_size: count(1).max(MOST_RANKS).nullish(),
  dp_size: count(1).max(65_536).nullish(),
  receiver: receiver.nullish(),
});

export type KvTransferEntry = z.output<typeof workerKvTransfer>;

/** @param baseUrl That of the worker, which receives where it serves unless it says otherwise. */
export function kvTransferTraits(
  entry: KvTransferEntry | null | undefined,
  baseUrl: string,
): KvTransferTraits | undefined {
  return withoutUnset({
    engineId: entry?.engine_id ?? undefined,
    host: entry?.host ?? undefined,
    port: entry?.port ?? undefined,
    tpSize: entry?.tp_size ?? undefined,
    ppSize: entry?.pp_size ?? undefined,
    dpSize: entry?.dp_size ?? undefined,
    receiver: entry?.receiver ? receiverTraits(entry.receiver, baseUrl) : undefined,
  });
}

function receiverTraits(entry: z.output<typeof receiver>, baseUrl: string): KvReceiver {
  return {
    host: entry.host ?? URL.parse(baseUrl)?.hostname ?? 'localhost',
    initPorts: entry.init_ports ?? [INIT_PORT],
    allocPorts: entry.alloc_ports ?? [ALLOC_PORT],
  };
}

/** The way back, as an entry says it: without what was learnt. */
export function kvTransferEntry(traits: KvTransferTraits | undefined): KvTransferEntry | undefined {
  const { receiver: to } = traits ?? {};
  return withoutUnset({
    engine_id: traits?.engineId,
    host: traits?.host,
    port: traits?.port,
    tp_size: traits?.tpSize,
    pp_size: traits?.ppSize,
    dp_size: traits?.dpSize,
    receiver: to && { host: to.host, init_ports: [...to.initPorts], alloc_ports: [...to.allocPorts] },
  });
}

/** Undefined where nothing is set. */
function withoutUnset<T extends object>(value: T): T | undefined {
  const set = Object.entries(value).filter(([, one]) => one !== undefined);
  // The same members, less those that have no value.
  return set.length === 0 ? undefined : (Object.fromEntries(set) as T);
}
