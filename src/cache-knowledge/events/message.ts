/** A message of a publisher. */
export interface EventMessage {
  readonly topic: Buffer;
  /** Rises by one with each message, from 0 (or 1) when the publisher begins. */
  readonly seq: number;
  readonly payload: Buffer;
  /** Tells it from a message of the same number that another process sent. */
  readonly mark: number;
}

const SEQ_BYTES = 8;
const NO_TOPIC = Buffer.alloc(0);
/** The time of the batch is among the first bytes: no two are the same. */
const MARK_BYTES = 32;
export const END_SEQ = Buffer.alloc(SEQ_BYTES, 0xff);

/** `[topic, seq, payload]`, and with anything before it: read from its end. Undefined: of another form. */
export function readMessage(frames: readonly Buffer[]): EventMessage | undefined {
  const payload = frames.at(-1);
  const seqBytes = frames.at(-2);
  if (payload === undefined || seqBytes?.length !== SEQ_BYTES) return undefined;
  const seq = seqBytes.readUInt32BE(0) * 2 ** 32 + seqBytes.readUInt32BE(4);
  if (!Number.isSafeInteger(seq)) return undefined;
  return { topic: frames.at(-3) ?? NO_TOPIC, seq, payload, mark: markOf(payload) };
}

/** Whether a replay says that nothing more comes. */
export function isReplayEnd(frames: readonly Buffer[]): boolean {
  return frames.at(-2)?.equals(END_SEQ) === true;
}

/** As a ROUTER's asker says it: an empty frame, then the number from which on. */
export function replayRequest(from: number): readonly Buffer[] {
  const seq = Buffer.alloc(SEQ_BYTES);
  seq.writeUInt32BE(Math.floor(from / 2 ** 32), 0);
  seq.writeUInt32BE(from >>> 0, 4);
  return [NO_TOPIC, seq];
}

/** FNV-1a of its beginning and its length. */
function markOf(payload: Buffer): number {
  let hash = 0x811c9dc5 ^ payload.length;
  const end = Math.min(payload.length, MARK_BYTES);
  for (let i = 0; i < end; i += 1) hash = Math.imul(hash ^ payload[i]!, 0x01000193);
  return hash;
}
