import { ready, type Connector, type Peer } from './connector.ts';
import { params } from './params.ts';
import { KEEP_BLOCKS } from './nixl.ts';
import { hostOf } from './peer-address.ts';
import { uniqueId } from './transfer-ids.ts';

/** `VLLM_NIXL_SIDE_CHANNEL_PORT`; each rank has the next one. */
const SIDE_CHANNEL_PORT = 5600;

/**
 * NixlPushConnector: the decode worker tells the prefill worker where its blocks are, and that one writes them. So the
 * decode worker is told of the prefill worker before that has answered, and both know the request by its name.
 */
export const nixlPush: Connector = {
  name: 'nixl-push',
  batches: false,
  unready({ prefill }) {
    if (prefill.traits.kvTransfer?.engineId !== undefined) return undefined;
    return `the engine id of ${prefill.spec.id} is not known`;
  },
  begin(pair) {
    const requestId = uniqueId(pair);
    return {
      order: 'concurrent',
      requestId,
      prefill: { body: 'one_token', members: params(KEEP_BLOCKS), headers: [] },
      decode: () => ready(params({ ...whereToAsk(pair.prefill), remote_request_id: requestId })),
    };
  },
};

function whereToAsk({ spec, traits }: Peer): object {
  const { engineId = '', host, port, tpSize, ppSize } = traits.kvTransfer ?? {};
  return {
    do_remote_decode: false,
    do_remote_prefill: true,
    // vLLM makes the engine id of a rank from that of all.
    remote_engine_id: spec.rank === undefined ? engineId : `${engineId}_dp${spec.rank}`,
    remote_host: host ?? hostOf(spec),
    remote_port: (port ?? SIDE_CHANNEL_PORT) + (spec.rank ?? 0),
    tp_size: tpSize ?? 1,
    pp_size: ppSize ?? 1,
  };
}
