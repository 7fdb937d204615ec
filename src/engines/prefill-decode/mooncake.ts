import { ready, type Connector, type Peer } from './connector.ts';
import { params } from './params.ts';
import { bootstrapAddress } from './peer-address.ts';
import { transferId } from './transfer-ids.ts';

/**
 * MooncakeConnector: both are asked at once and meet under a transfer id; the prefill worker's answer says nothing. Where one
 * of them fails the other would wait for it (`VLLM_MOONCAKE_ABORT_REQUEST_TIMEOUT`, 480 s), so it is to be aborted.
 */
export const mooncake: Connector = {
  name: 'mooncake',
  batches: false,
  unready({ prefill }) {
    if (engineIdOf(prefill) !== undefined) return undefined;
    const { rank, id } = prefill.spec;
    const ranks = Object.keys(prefill.traits.kvTransfer?.engineIds ?? {}).length;
    // The engine's own balancing would choose one of them after the decode worker had been told of another.
    if (rank === undefined && ranks > 1) return `${id} has ${ranks} ranks, none of which is named`;
    return `the engine id of ${id} is not known`;
  },
  begin(pair) {
    const transfer_id = transferId('xfer', pair);
    const keep = { do_remote_decode: true, do_remote_prefill: false, transfer_id };
    const fetch = {
      do_remote_decode: false,
      do_remote_prefill: true,
      remote_bootstrap_addr: bootstrapAddress(pair.prefill),
      remote_engine_id: engineIdOf(pair.prefill),
      transfer_id,
    };
    return {
      order: 'concurrent',
      requestId: undefined,
      prefill: { body: 'one_token', members: params(keep), headers: [] },
      decode: () => ready(params(fetch)),
    };
  },
};

/** Of the worker's rank, or of the only one. */
function engineIdOf({ spec, traits }: Peer): string | undefined {
  const ids = traits.kvTransfer?.engineIds ?? {};
  if (spec.rank !== undefined) return Object.hasOwn(ids, spec.rank) ? ids[spec.rank] : undefined;
  const all = Object.values(ids);
  return all.length === 1 ? all[0] : undefined;
}
