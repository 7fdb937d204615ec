import { booleanField, integerField, stringField, type Fields } from '../../server/fields.ts';
import type { SimConnector } from '../handing.ts';
import { addressesIn } from './request-addresses.ts';

/**
 * vLLM's MoRIIOConnector. READ: the decode worker reads blocks that the answer of the prefill worker names. WRITE: both are
 * asked at once, and the prefill worker writes.
 */
export const moriio: SimConnector = {
  read: ({ id, params }, { settings }) => {
    const key = params && stringField(params, 'transfer_id');
    if (!params || key === undefined) return undefined;
    if (booleanField(params, 'do_remote_decode')) return { kind: 'keep', key };
    if (!booleanField(params, 'do_remote_prefill')) return undefined;
    const address = handshakeOf(addressesIn(id)?.prefill) ?? explicit(params);
    const isRead = settings.transferMode === 'READ';
    const engineId = stringField(params, 'remote_engine_id');
    if (!address || (isRead && engineId === undefined)) return { kind: 'unfetchable' };
    return { kind: 'fetch', source: { ...address, engineId, key, waits: !isRead } };
  },
  answer: ({ blockIds, engineId, key }, { host, port, settings }) => ({
    do_remote_prefill: true,
    do_remote_decode: false,
    remote_block_ids: [blockIds],
    remote_engine_id: engineId,
    remote_host: host,
    remote_handshake_port: port,
    remote_notify_port: port,
    remote_dp_rank: 0,
    remote_dp_rank_override: true,
    remote_dp_size: 1,
    remote_dp_size_local: 1,
    tp_size: settings.tpSize,
    transfer_id: key,
  }),
};

/** As such a worker registers itself. */
export function moriioAddress(host: string, port: number): string {
  return `host:${host},handshake:${port},notify:${port}`;
}

function handshakeOf(zmqAddress = ''): { readonly host: string; readonly port: number } | undefined {
  const [, host, port] = /^host:(.+),handshake:(\d+),notify:\d+$/.exec(zmqAddress) ?? [];
  return host === undefined ? undefined : { host, port: Number(port) };
}

/** Ids that name no addresses are those of other routers, which give them as parameters. */
function explicit(params: Fields): { readonly host: string; readonly port: number } | undefined {
  const host = stringField(params, 'remote_host');
  const port = integerField(params, 'remote_handshake_port', 1);
  return host === undefined || port === undefined ? undefined : { host, port };
}
