import type { KvTransferTraits } from '../../src/config/settings/pd-settings.ts';
import { DEFAULT_TRAITS } from '../../src/config/settings/settings.ts';
import type { Handoff, Peer } from '../../src/engines/prefill-decode/connector.ts';

export interface PeerOptions {
  readonly rank?: number;
  readonly bootstrapPort?: number;
  readonly kvTransfer?: KvTransferTraits;
}

export function peer(host: string, { rank, bootstrapPort, kvTransfer }: PeerOptions = {}): Peer {
  const traits = { ...DEFAULT_TRAITS, bootstrapPort, kvTransfer };
  const baseUrl = `http://${host}:8000`;
  const id = rank === undefined ? baseUrl : `${baseUrl}@${rank}`;
  return { spec: { baseUrl, rank, id, apiKey: undefined, traits }, traits };
}

const HEX = '[0-9a-f]{32}';
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

export type Fields = Record<string, unknown>;

/** A pair that can hand over, and what it is sent; strings that are patterns stand for values that are others each time. */
export interface Row {
  /** What the exchange is taken from. */
  readonly source: string;
  readonly prefill: Peer;
  readonly decode: Peer;
  readonly order: Handoff['order'];
  readonly requestId?: RegExp;
  /** Top-level fields beside the client's own. */
  readonly toPrefill: Fields;
  readonly toDecode: Fields;
  /** What the prefill worker answers with; undefined: nothing that matters. */
  readonly answered?: Fields;
  readonly arrival?: number;
  readonly unready: readonly (readonly [prefill: Peer, decode: Peer, why: RegExp])[];
}

const KEEP = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
};
const FETCH = { do_remote_decode: false, do_remote_prefill: true };
const KEPT = {
  do_remote_prefill: true,
  do_remote_decode: false,
  remote_block_ids: [[1, 2]],
  remote_engine_id: 'e',
  tp_size: 1,
};

export const zmq = (zmqAddress: string, more: KvTransferTraits = {}): PeerOptions => ({
  kvTransfer: { zmqAddress, ...more },
});
export const P_MORI = 'host:10.0.0.1,handshake:6301,notify:61005';
const D_MORI = 'host:10.0.0.2,handshake:6301,notify:61005';
const READ = { transferMode: 'READ' } as const;
export const WRITE = { transferMode: 'WRITE' } as const;
const RECEIVER = { host: '10.0.0.2', initPorts: [8300, 8301], allocPorts: [8400, 8401] };
const addressed = (p: string, d: string): RegExp =>
  new RegExp(`^___prefill_addr_${p}___decode_addr_${d}_${HEX}$`);

export const ROWS: Readonly<Record<string, Row>> = {
  nixl: {
    source: 'vLLM 0.32.0, recorded',
    ...{ prefill: peer('p'), decode: peer('d'), order: 'serial' },
    toPrefill: { kv_transfer_params: KEEP },
    answered: KEPT,
    toDecode: { kv_transfer_params: KEPT },
    unready: [],
  },
  'nixl-push': {
    source: 'vLLM, docs/features/nixl_connector_usage.md',
    prefill: peer('p', {
      kvTransfer: { engineId: 'e1', host: '10.0.0.1', port: 5700, tpSize: 2, ppSize: 4 },
    }),
    ...{ decode: peer('d'), order: 'concurrent' },
    requestId: new RegExp(`^req-1-${HEX}$`),
    toPrefill: { kv_transfer_params: KEEP },
    toDecode: {
      kv_transfer_params: {
        ...{ ...FETCH, remote_engine_id: 'e1', remote_host: '10.0.0.1', remote_port: 5700 },
        ...{ tp_size: 2, pp_size: 4, remote_request_id: new RegExp(`^req-1-${HEX}$`) },
      },
    },
    unready: [[peer('p'), peer('d'), /engine id of http:\/\/p:8000/]],
  },
  'nixl-push to a rank': {
    source: 'vLLM 0.32.0, v1/engine/core.py: engine ids and ports of ranks',
    prefill: peer('p', { rank: 2, kvTransfer: { engineId: 'e1' } }),
    ...{ decode: peer('d'), order: 'concurrent' },
    requestId: new RegExp(`^req-1-${HEX}$`),
    toPrefill: { kv_transfer_params: KEEP },
    toDecode: {
      kv_transfer_params: {
        ...{ ...FETCH, remote_engine_id: 'e1_dp2', remote_host: 'p', remote_port: 5602 },
        ...{ tp_size: 1, pp_size: 1, remote_request_id: new RegExp(`^req-1-${HEX}$`) },
      },
    },
    unready: [],
  },
  mooncake: {
    source: 'vLLM, examples/disaggregated/mooncake_connector',
    prefill: peer('[fd00::1]', {
      rank: 1,
      bootstrapPort: 9001,
      kvTransfer: { engineIds: { 0: 'e0', 1: 'e1' } },
    }),
    ...{ decode: peer('d'), order: 'concurrent' },
    toPrefill: {
      kv_transfer_params: {
        ...{ do_remote_decode: true, do_remote_prefill: false, transfer_id: new RegExp(`^xfer-${UUID}$`) },
      },
    },
    toDecode: {
      kv_transfer_params: {
        ...{ ...FETCH, remote_bootstrap_addr: 'http://[fd00::1]:9001', remote_engine_id: 'e1' },
        transfer_id: new RegExp(`^xfer-${UUID}$`),
      },
    },
    unready: [
      [peer('p'), peer('d'), /engine id of http:\/\/p:8000 is not known/],
      [peer('p', { kvTransfer: { engineIds: { 0: 'a', 1: 'b' } } }), peer('d'), /2 ranks/],
      [peer('p', { rank: 3, kvTransfer: { engineIds: { 0: 'a' } } }), peer('d'), /not known/],
    ],
  },
  'p2p-nccl': {
    source: 'vLLM, examples/disaggregated/p2p_nccl_xpyd',
    prefill: peer('p', zmq('10.0.0.1:21001')),
    ...{ decode: peer('d', zmq('10.0.0.2:22001')), order: 'serial' },
    requestId: addressed('10.0.0.1:21001', '10.0.0.2:22001'),
    ...{ toPrefill: {}, toDecode: {} },
    unready: [
      [peer('p'), peer('d', zmq('x')), /http:\/\/p:8000 is not known/],
      [peer('p', zmq('x')), peer('d'), /http:\/\/d:8000 is not known/],
    ],
  },
  'moriio, read': {
    source: 'vLLM 0.32.0, moriio_connector.py: request_finished',
    prefill: peer('p', zmq(P_MORI, { ...READ, dpSize: 1, tpSize: 8 })),
    decode: peer('d', zmq(D_MORI, { ...READ, dpSize: 2, tpSize: 4 })),
    order: 'serial',
    requestId: addressed(P_MORI, D_MORI),
    toPrefill: {
      kv_transfer_params: {
        ...{
          do_remote_decode: true,
          do_remote_prefill: false,
          remote_engine_id: null,
          remote_block_ids: null,
        },
        ...{ remote_dp_size: 2, remote_tp_size: 4, transfer_id: new RegExp(`^tx-${UUID}$`) },
      },
    },
    answered: { ...KEPT, transfer_id: 'tx-1', remote_dp_size: 1 },
    toDecode: { kv_transfer_params: { ...KEPT, transfer_id: 'tx-1', remote_dp_size: 1, remote_tp_size: 8 } },
    unready: [
      [peer('p', zmq('x')), peer('d', zmq('y', READ)), /mode is not known/],
      [peer('p', zmq('x', WRITE)), peer('d', zmq('y', READ)), /WRITE.*READ/],
      [peer('p', { kvTransfer: READ }), peer('d', zmq('y', READ)), /address of http:\/\/p:8000/],
    ],
  },
  'moriio, write': {
    source: 'vLLM, docs of MoRI-IO and its toy proxy',
    prefill: peer('p', zmq(P_MORI, { ...WRITE, dpSize: 4 })),
    decode: peer('d', zmq(D_MORI, { ...WRITE, tpSize: 2 })),
    order: 'concurrent',
    requestId: addressed(P_MORI, D_MORI),
    toPrefill: {
      kv_transfer_params: {
        ...{
          do_remote_decode: true,
          do_remote_prefill: false,
          remote_engine_id: null,
          remote_block_ids: null,
        },
        ...{ remote_dp_size: 1, remote_tp_size: 2, transfer_id: new RegExp(`^tx-${UUID}$`) },
      },
    },
    toDecode: {
      kv_transfer_params: {
        ...{
          ...FETCH,
          remote_engine_id: null,
          remote_block_ids: null,
          transfer_id: new RegExp(`^tx-${UUID}$`),
        },
        ...{ remote_dp_size: 4, remote_tp_size: 1, remote_dp_rank: 2 },
      },
    },
    unready: [],
  },
  lmcache: {
    source:
      'LMCache, examples/disagg_prefill/disagg_proxy_server.py; the decode leg is the client’s own request',
    prefill: peer('p'),
    ...{ decode: peer('d', { kvTransfer: { receiver: RECEIVER } }), order: 'serial' },
    toPrefill: {
      kv_transfer_params: {
        ret_first_tok: true,
        disagg_spec: {
          ...{ req_id: new RegExp(`^req-1-${HEX}$`), receiver_host: '10.0.0.2' },
          ...{ receiver_init_port: [8300, 8301], receiver_alloc_port: [8400, 8401] },
        },
      },
    },
    ...{ toDecode: {}, arrival: 2 },
    unready: [[peer('p'), peer('d'), /receives blocks/]],
  },
  storage: {
    source: 'vLLM, shared storage: without parameters',
    ...{ prefill: peer('p'), decode: peer('d'), order: 'serial' },
    ...{ toPrefill: {}, toDecode: {}, unready: [] },
  },
  sglang: {
    source: 'SGLang, its bootstrap triple',
    prefill: peer('[fd00::1]', { bootstrapPort: 8998 }),
    ...{ decode: peer('d'), order: 'concurrent' },
    toPrefill: { bootstrap_host: 'fd00::1', bootstrap_port: 8998, bootstrap_room: 1 },
    toDecode: { bootstrap_host: 'fd00::1', bootstrap_port: 8998, bootstrap_room: 1 },
    unready: [],
  },
};
