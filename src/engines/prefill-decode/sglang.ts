import type { JsonMembers } from '../../api/member-edit.ts';
import { ready, type Connector, type Pair } from './connector.ts';
import { hostOf } from './peer-address.ts';

/**
 * SGLang: both get the client's whole request at once, and meet in a room at the prefill worker. A batch has a room for each
 * of its prompts. `bootstrap_port` null leaves it to the workers, which then take that of their own configuration.
 */
export const sglang: Connector = {
  name: 'sglang',
  batches: true,
  // A request without a room is refused.
  pairsOnly: true,
  unready: () => undefined,
  begin(pair) {
    const members = bootstrap(pair);
    return {
      order: 'concurrent',
      requestId: undefined,
      prefill: { body: 'same', members, headers: [] },
      decode: () => ready(members),
    };
  },
};

function bootstrap({ prefill, randomHex32, prompts }: Pair): JsonMembers {
  const host = JSON.stringify(hostOf(prefill.spec));
  const port = JSON.stringify(prefill.traits.bootstrapPort ?? null);
  const each = (value: () => string): string =>
    prompts > 1 ? `[${Array.from({ length: prompts }, value).join(',')}]` : value();
  return [
    ['bootstrap_host', each(() => host)],
    ['bootstrap_port', each(() => port)],
    ['bootstrap_room', each(() => roomOf(randomHex32()))],
  ];
}

/** 63 bits as a number in decimal, which would lose digits as one of JavaScript's. */
function roomOf(hex32: string): string {
  return BigInt.asUintN(63, BigInt(`0x${hex32}`)).toString();
}
