import type { Pair } from './connector.ts';

/** A name for one transfer that nobody else has, and no client can choose. */
export function transferId(prefix: string, { randomHex32 }: Pair): string {
  const hex = randomHex32();
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return `${prefix}-${parts.join('-')}`;
}

/**
 * The request's own name made unique: where workers match its halves by it, two requests of a client that names both the
 * same would get each other's blocks.
 */
export function uniqueId({ requestId, randomHex32 }: Pair): string {
  return `${requestId}-${randomHex32()}`;
}

/** The name that P2P-NCCL and MoRI-IO read each other's address from. */
export function addressedId({ prefill, decode, randomHex32 }: Pair): string {
  const [p, d] = [prefill, decode].map(({ traits }) => traits.kvTransfer?.zmqAddress ?? '');
  return `___prefill_addr_${p}___decode_addr_${d}_${randomHex32()}`;
}

/** Why that cannot be made. */
export function unaddressed({ prefill, decode }: Pick<Pair, 'prefill' | 'decode'>): string | undefined {
  const unknown = [prefill, decode].find(({ traits }) => traits.kvTransfer?.zmqAddress === undefined);
  return unknown && `the ZMQ address of ${unknown.spec.id} is not known`;
}

/** Whether workers would read from a request's id where to fetch its prompt, or where to bring it. */
export function namesPair(requestId: string): boolean {
  return requestId.includes('___prefill_addr_') || requestId.includes('___decode_addr_');
}
