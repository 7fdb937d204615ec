import { ready, type Connector } from './connector.ts';
import { addressedId, unaddressed } from './transfer-ids.ts';

/**
 * P2pNcclConnector: its decode worker takes all of a prompt but the last token for handed over, whatever the id says
 * (`get_num_new_matched_tokens`): without addresses in it, it answers from an empty cache, or its engine ends. Both addresses stand in the request's id, from which the workers read them. vLLM from 0.14 on adds
 * something to ids unless `VLLM_DISABLE_REQUEST_ID_RANDOMIZATION=1` is set on both (see `hint`).
 */
export const p2pNccl: Connector = {
  name: 'p2p-nccl',
  batches: true,
  pairsOnly: true,
  hint: 'do both workers run with VLLM_DISABLE_REQUEST_ID_RANDOMIZATION=1, without which vLLM 0.14 and later wait in vain?',
  unready: unaddressed,
  begin: (pair) => ({
    order: 'serial',
    requestId: addressedId(pair),
    prefill: { body: 'one_token', members: [], headers: [] },
    decode: () => ready(),
  }),
};
