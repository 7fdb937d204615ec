import type { SimConnector } from '../handing.ts';
import { addressesIn } from './request-addresses.ts';

/** vLLM's P2pNcclConnector: no parameters; who hands over to whom is in the request id, and so is what it is called. */
export const p2pNccl: SimConnector = {
  read: ({ id, engineRequestId }, { settings, host, port }) => {
    const addresses = addressesIn(id);
    if (!addresses) return undefined;
    // With chance behind it the name is another one on each side: nothing is ever found.
    const key = settings.randomRequestIds ? engineRequestId : id;
    if (settings.role === 'prefill' || addresses.prefill === `${host}:${port}`) return { kind: 'keep', key };
    const [, sourceHost, sourcePort] = /^(.+):(\d+)$/.exec(addresses.prefill) ?? [];
    if (sourceHost === undefined) return { kind: 'unfetchable' };
    const source = { host: sourceHost, port: Number(sourcePort), engineId: undefined, key, waits: true };
    return { kind: 'fetch', source };
  },
  answer: () => null,
};
