import { BadMsgpack, MsgpackCursor, Words } from '../../base/msgpack-cursor.ts';
import { bindPull } from '../../zmtp/pull.ts';
import type { Endpoint } from '../../zmtp/endpoint.ts';
import type { ListenerOptions } from '../../zmtp/listener.ts';

/** A notice names one request, in some tens of bytes. */
const LIMITS = { maxFrameBytes: 16 * 1024, maxFrames: 4 };
const MAX_PEERS = 4096;
const LONGEST_KEY = 256;

export interface NoticeEvents {
  /** The blocks of one rank have arrived. */
  readonly onNotice: (requestId: string) => void;
  /** What came is no notice. */
  readonly onMalformed: () => void;
  /** Somebody was not taken, or had to be left. */
  readonly onRefused: () => void;
}

export interface NoticeListener {
  readonly endpoint: Endpoint;
  close(): Promise<void>;
}

/** Takes the notices that LMCache's senders push (`pd_proxy_host`, `pd_proxy_port`). Rejects where nobody can listen there. */
export function listenForNotices(
  endpoint: Endpoint,
  options: Pick<ListenerOptions, 'clock'>,
  { onNotice, onMalformed, onRefused }: NoticeEvents,
): Promise<NoticeListener> {
  return bindPull(
    endpoint,
    { ...options, limits: LIMITS, maxPeers: MAX_PEERS },
    (frames) => {
      const id = frames.length === 1 && frames[0] ? readNotice(frames[0]) : undefined;
      if (id === undefined) onMalformed();
      else onNotice(id);
    },
    {
      onEnd: ({ cause }) => {
        if (cause !== 'closed') onRefused();
      },
      onRefused,
    },
  );
}

const FIELDS = new Words(['type', 'req_id']);
const TYPES = new Words(['ProxyNotif']);

/**
 * The request that a notice names: `{type: "ProxyNotif", req_id}`, as LMCache's `pd_backend.py` encodes it; undefined where the bytes
 * are something else, another of its messages too.
 */
export function readNotice(bytes: Buffer): string | undefined {
  const cursor = new MsgpackCursor(bytes);
  let isNotice = false;
  let id: string | undefined;
  try {
    for (let left = cursor.readMap(); left > 0; left -= 1) {
      const field = cursor.readWord(FIELDS);
      if (field === 0) isNotice = cursor.readWord(TYPES) === 0;
      else if (field === 1) id = cursor.readText();
      else cursor.skip();
    }
  } catch (error) {
    if (error instanceof BadMsgpack) return undefined;
    throw error;
  }
  return isNotice && cursor.done && id !== undefined && id.length <= LONGEST_KEY ? id : undefined;
}
