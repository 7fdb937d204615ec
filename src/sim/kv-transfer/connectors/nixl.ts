import { booleanField, stringField, integerField, type Fields } from '../../server/fields.ts';
import type { Handing, KeptBlocks, KvSelf, SimConnector } from '../handing.ts';

/** vLLM's NixlConnector: the decode worker reads the blocks that the prefill worker's answer names. */
export const nixl: SimConnector = {
  read: ({ params, engineRequestId }) => {
    if (!params) return undefined;
    if (booleanField(params, 'do_remote_decode')) return { kind: 'keep', key: engineRequestId };
    if (!booleanField(params, 'do_remote_prefill')) return undefined;
    // vLLM's engine waits for ever or ends at an assertion where one of them is missing.
    if (blockGroups(params) === 0) return { kind: 'unfetchable' };
    return fetched(params, stringField(params, 'remote_request_id'), false);
  },
  answer: (kept, self) => ({
    ...told(kept, self),
    remote_blocks_expiry_time: null,
    transfer_mode: 'pull',
    remote_prefill_cached_tokens: kept.cachedTokens,
  }),
};

/** Its sibling, which has the prefill worker write into the blocks of the decode worker: the two may begin together. */
export const nixlPush: SimConnector = {
  read: ({ params, id }) => {
    if (!params) return undefined;
    if (booleanField(params, 'do_remote_decode')) return { kind: 'keep', key: withoutAffixes(id) };
    if (!booleanField(params, 'do_remote_prefill')) return undefined;
    const requestId = stringField(params, 'remote_request_id');
    return fetched(params, requestId === undefined ? undefined : withoutAffixes(requestId), true);
  },
  answer: (kept, self) => ({ ...told(kept, self), transfer_mode: 'push' }),
};

function fetched(params: Fields, key: string | undefined, waits: boolean): Handing {
  const host = stringField(params, 'remote_host');
  const port = integerField(params, 'remote_port', 1);
  const engineId = stringField(params, 'remote_engine_id');
  if (host === undefined || port === undefined || engineId === undefined || key === undefined)
    return { kind: 'unfetchable' };
  return { kind: 'fetch', source: { host, port, engineId, key, waits } };
}

function told(kept: KeptBlocks, { host, port, settings }: KvSelf): object {
  return {
    do_remote_prefill: true,
    do_remote_decode: false,
    // One list for each group of layers that has blocks of its own; these engines have one.
    remote_block_ids: [kept.blockIds],
    remote_engine_id: kept.engineId,
    remote_request_id: kept.engineRequestId,
    remote_host: host,
    remote_port: port,
    tp_size: settings.tpSize,
    dcp_size: 1,
    pp_size: 1,
    remote_num_tokens: kept.tokens,
  };
}

/** Blocks named, in the lists of today's versions or in the flat list of older ones. */
function blockGroups(params: Fields): number {
  const ids = params['remote_block_ids'];
  return Array.isArray(ids) ? ids.flat().length : 0;
}

/** A request id without what each of the two engines adds to it in its own way. */
function withoutAffixes(engineRequestId: string): string {
  return engineRequestId
    .replace(/^(?:cmpl|chatcmpl|generate-tokens)-|^resp_/, '')
    .replace(/(?:-\d+)?-[0-9a-f]{8}$/, '');
}
