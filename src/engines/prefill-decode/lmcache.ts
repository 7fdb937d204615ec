import { ready, type Connector } from './connector.ts';
import { params } from './params.ts';
import { uniqueId } from './transfer-ids.ts';

/**
 * LMCacheConnectorV1 with LMCache's own handing over (`enable_pd`). The prefill worker sends its blocks to the decode worker's
 * receiver; LMCache announces each tensor-parallel rank's by itself, which is to be awaited. LMCache's example then has
 * the decode worker go on behind the first token, over `/v1/completions` with token ids, and makes chat answers of that. Here it
 * gets the client's own request: it finds the blocks by their hashes and computes the prompt's last token itself, so that tools,
 * reasoning and every endpoint are what they are on one worker.
 */
export const lmcache: Connector = {
  name: 'lmcache',
  batches: false,
  unready({ decode }) {
    if (decode.traits.kvTransfer?.receiver !== undefined) return undefined;
    return `where ${decode.spec.id} receives blocks is not known`;
  },
  begin(pair) {
    const receiver = pair.decode.traits.kvTransfer?.receiver;
    const { host = '', initPorts = [], allocPorts = [] } = receiver ?? {};
    const key = uniqueId(pair);
    const disagg_spec = {
      req_id: key,
      receiver_host: host,
      receiver_init_port: initPorts,
      receiver_alloc_port: allocPorts,
    };
    return {
      order: 'serial',
      requestId: undefined,
      prefill: { body: 'one_token', members: params({ ret_first_tok: true, disagg_spec }), headers: [] },
      decode: () => ready(),
      arrival: { key, times: initPorts.length },
    };
  },
};
