import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { ready, type Connector, type DecodeOrder, type Pair, type Peer } from './connector.ts';
import { PARAMS, params } from './params.ts';
import type { PrefillAnswer } from './prefill-answer.ts';
import { addressedId, transferId, unaddressed } from './transfer-ids.ts';

/**
 * MoRIIOConnector. In its READ mode the decode worker fetches the blocks that the prefill worker's answer names, in its WRITE mode
 * the prefill worker writes them to where the decode worker has told it to; both are asked at once then. Their addresses
 * stand in the request's id.
 */
export const moriio: Connector = {
  name: 'moriio',
  batches: false,
  unready(pair) {
    const addresses = unaddressed(pair);
    if (addresses !== undefined) return addresses;
    const [p, d] = [modeOf(pair.prefill), modeOf(pair.decode)];
    if (p === undefined || d === undefined) return 'their transfer mode is not known';
    return p === d ? undefined : `one transfers by ${p}, the other by ${d}`;
  },
  begin(pair) {
    const transfer_id = transferId('tx', pair);
    const rank = rankOf(pair);
    const isRead = modeOf(pair.prefill) === 'READ';
    const keep = {
      do_remote_decode: true,
      do_remote_prefill: false,
      remote_engine_id: null,
      remote_block_ids: null,
      ...sizesOf(pair.decode),
      transfer_id,
    };
    const fetch = {
      do_remote_decode: false,
      do_remote_prefill: true,
      remote_engine_id: null,
      remote_block_ids: null,
      transfer_id,
      ...sizesOf(pair.prefill),
      ...(rank === undefined ? {} : { remote_dp_rank: rank }),
    };
    // A rank that the worker's name does not say is said here; requests to named ones have the header anyway.
    const pin = rank === undefined || pair.prefill.spec.rank !== undefined ? [] : [RANK_HEADER, String(rank)];
    return {
      order: isRead ? 'serial' : 'concurrent',
      requestId: addressedId(pair),
      prefill: { body: 'one_token', members: params(keep), headers: pin },
      decode: (answer) => (isRead ? relayed(answer, pair.prefill) : ready(params(fetch))),
    };
  },
};

const RANK_HEADER = 'x-data-parallel-rank';

function modeOf({ traits }: Peer): 'READ' | 'WRITE' | undefined {
  return traits.kvTransfer?.transferMode;
}

function sizesOf({ traits }: Peer): { remote_dp_size: number; remote_tp_size: number } {
  const { dpSize = 1, tpSize = 1 } = traits.kvTransfer ?? {};
  return { remote_dp_size: dpSize, remote_tp_size: tpSize };
}

/** Which of its ranks computes the prompt: both workers must be told the same; undefined where there is one only. */
function rankOf({ prefill, randomHex32 }: Pair): number | undefined {
  const { remote_dp_size: ranks } = sizesOf(prefill);
  if (ranks <= 1) return undefined;
  return prefill.spec.rank ?? Number.parseInt(randomHex32().slice(-8), 16) % ranks;
}

/** What the answer says goes on as it is; older versions leave out the sizes. */
function relayed(answer: PrefillAnswer | undefined, prefill: Peer): DecodeOrder {
  const sizes = Object.entries(sizesOf(prefill)).map(([key, size]): MemberEdit => ({
    key,
    there: () => undefined,
    absent: String(size),
  }));
  const given = answer?.params && editMembers(answer.params, sizes);
  if (!given) return { kind: 'failed', message: 'the prefill worker kept no blocks' };
  return ready([[PARAMS, given]]);
}
