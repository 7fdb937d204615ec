import { ready, type Connector } from './connector.ts';
import { PARAMS, params } from './params.ts';
import { TELL_IDS, withPromptIds } from './prompt-ids.ts';

/** What a prefill worker is asked with: to keep the blocks and to say where they are. */
export const KEEP_BLOCKS = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
} as const;

const OF_OTHERS = params(KEEP_BLOCKS);
const OF_CHATS = [...OF_OTHERS, ...TELL_IDS];

/**
 * NixlConnector, and whatever else answers with what the decode worker needs (MultiConnector with such a member): the answer's
 * `kv_transfer_params` go on byte for byte, so that versions may add to them. The prefill worker keeps the blocks for 30 s
 * (`kv_lease_duration`) unless a decode worker asks for them.
 */
export const nixl: Connector = {
  name: 'nixl',
  batches: false,
  unready: () => undefined,
  begin({ isChat }) {
    const members = isChat ? OF_CHATS : OF_OTHERS;
    return {
      order: 'serial',
      requestId: undefined,
      prefill: { body: 'one_token', members, headers: [] },
      decode(answer) {
        // Also where the workers have no connector at all: the decode worker would compute the prompt again, unseen.
        if (!answer?.params) return { kind: 'failed', message: 'the prefill worker kept no blocks' };
        const given = isChat ? withPromptIds(answer.params, answer.promptIds) : answer.params;
        return ready([[PARAMS, given]]);
      },
    };
  },
};
