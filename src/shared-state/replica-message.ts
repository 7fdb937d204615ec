/**
 * What replicas of one router tell each other, as bytes:
 *
 *     0       version of this layout
 *     1       kind
 *     2..17   origin: 16 random bytes, other ones with each start of a replica
 *     18..21  number of the message among those of its kind and origin, little-endian
 *     22..53  HMAC-SHA256 of everything else, with the secret that all replicas have; zeros where there is none
 *     54..    body, MessagePack
 *
 * Workers are named by their URL and rank (`Worker.id`): slots never leave a process.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { decode, encode } from '@msgpack/msgpack';
import type { WorkerLoad } from '../workers/foreign-loads.ts';

const VERSION = 1;
const KINDS = ['hello', 'load', 'blocks', 'bye'] as const;
const ORIGIN_AT = 2;
const NUMBER_AT = 18;
const MAC_AT = 22;
const BODY_AT = 54;
const NO_MAC = Buffer.alloc(BODY_AT - MAC_AT);

export const ORIGIN_BYTES = NUMBER_AT - ORIGIN_AT;
/** Longer ones are not read. */
export const MOST_BYTES = 2 * 1024 * 1024;
/** Workers in one message, and hashes in one. */
export const MOST_WORKERS = 4096;
export const MOST_HASHES = 4096;
const LONGEST_ID = 2048;
const MOST = 2 ** 40;

/** One worker as its sender loads it. */
export interface LoadEntry extends WorkerLoad {
  readonly id: string;
  /** What it has seen of the worker's speed since it was registered there: tokens computed, and ms that they took. */
  readonly seenTokens: number;
  readonly seenMs: number;
}

/** A prompt's blocks, and the worker that they went to. */
export interface PlacedBlocks {
  readonly id: string;
  /** Tokens that they stand for; 0 for a second chain of the same prompt. */
  readonly tokens: number;
  /** Two words for each block. */
  readonly hashes: Uint32Array;
}

export type MessageBody =
  /** Somebody is new: the others say all. */
  | { readonly kind: 'hello' }
  /** `whole`: workers that are not named have nothing of the sender's. */
  | { readonly kind: 'load'; readonly whole: boolean; readonly loads: readonly LoadEntry[] }
  | { readonly kind: 'blocks'; readonly placed: readonly PlacedBlocks[] }
  /** Whatever it had is free. */
  | { readonly kind: 'bye' };

export type ReplicaMessage = MessageBody & { readonly origin: string; readonly number: number };

/** Why a message is not used. */
export type Unusable = 'version' | 'size' | 'signature' | 'malformed';

export function encodeMessage(
  body: MessageBody,
  from: { readonly origin: Buffer; readonly number: number; readonly secret: string | undefined },
): Buffer {
  const packed = encode(packable(body));
  const message = Buffer.alloc(BODY_AT + packed.length);
  message[0] = VERSION;
  message[1] = KINDS.indexOf(body.kind);
  from.origin.copy(message, ORIGIN_AT);
  message.writeUInt32LE(from.number >>> 0, NUMBER_AT);
  message.set(packed, BODY_AT);
  if (from.secret !== undefined) macOf(message, from.secret).copy(message, MAC_AT);
  return message;
}

/** Whether a message comes from there, whatever else it is. */
export function isFrom(message: Buffer, origin: Buffer): boolean {
  return message.subarray(ORIGIN_AT, NUMBER_AT).equals(origin);
}

export function decodeMessage(message: Buffer, secret: string | undefined): ReplicaMessage | Unusable {
  if (message.length > MOST_BYTES) return 'size';
  if (message.length < BODY_AT) return 'malformed';
  if (message[0] !== VERSION) return 'version';
  const mac = message.subarray(MAC_AT, BODY_AT);
  if (!timingSafeEqual(mac, secret === undefined ? NO_MAC : macOf(message, secret))) return 'signature';
  const body = bodyOf(KINDS[message[1] ?? 0], unpacked(message.subarray(BODY_AT)));
  if (body === undefined) return 'malformed';
  const origin = message.toString('hex', ORIGIN_AT, NUMBER_AT);
  return { ...body, origin, number: message.readUInt32LE(NUMBER_AT) };
}

function macOf(message: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret)
    .update(message.subarray(0, MAC_AT))
    .update(message.subarray(BODY_AT))
    .digest();
}

function packable(body: MessageBody): unknown {
  switch (body.kind) {
    case 'hello':
    case 'bye':
      return null;
    case 'load':
      return [
        body.whole,
        body.loads.map(({ id, running, prefillTokens, kvTokens, seenTokens, seenMs }) => [
          ...[id, running, prefillTokens, kvTokens, seenTokens, seenMs],
        ]),
      ];
    case 'blocks':
      return body.placed.map(({ id, tokens, hashes }) => [
        ...[id, tokens],
        // Little-endian, as all machines that run Node are.
        new Uint8Array(hashes.buffer, hashes.byteOffset, hashes.byteLength),
      ]);
  }
}

function unpacked(bytes: Buffer): unknown {
  try {
    return decode(bytes, {
      maxArrayLength: MOST_WORKERS,
      maxMapLength: 0,
      maxExtLength: 0,
      maxStrLength: LONGEST_ID,
    });
  } catch {
    return undefined;
  }
}

function bodyOf(kind: (typeof KINDS)[number] | undefined, packed: unknown): MessageBody | undefined {
  switch (kind) {
    case undefined:
      return undefined;
    case 'hello':
    case 'bye':
      return packed === null ? { kind } : undefined;
    case 'load': {
      if (!Array.isArray(packed) || packed.length !== 2 || typeof packed[0] !== 'boolean') return undefined;
      const loads = listOf(packed[1], loadOf);
      return loads && { kind, whole: packed[0], loads };
    }
    case 'blocks': {
      const placed = listOf(packed, blocksOf);
      const hashes = placed?.reduce((sum, one) => sum + one.hashes.length / 2, 0) ?? 0;
      return placed && hashes <= MOST_HASHES ? { kind, placed } : undefined;
    }
  }
}

/** Undefined where any of them is not what it should be. */
function listOf<T>(packed: unknown, read: (entry: readonly unknown[]) => T | undefined): T[] | undefined {
  if (!Array.isArray(packed)) return undefined;
  const list: T[] = [];
  for (const entry of packed as readonly unknown[]) {
    const one = Array.isArray(entry) ? read(entry) : undefined;
    if (one === undefined) return undefined;
    list.push(one);
  }
  return list;
}

function loadOf([id, ...numbers]: readonly unknown[]): LoadEntry | undefined {
  if (typeof id !== 'string' || numbers.length !== 5 || !numbers.every(isCount)) return undefined;
  const [running = 0, prefillTokens = 0, kvTokens = 0, seenTokens = 0, seenMs = 0] = numbers;
  return { id, running, prefillTokens, kvTokens, seenTokens, seenMs };
}

function blocksOf([id, tokens, bytes]: readonly unknown[]): PlacedBlocks | undefined {
  if (typeof id !== 'string' || !isCount(tokens)) return undefined;
  if (!(bytes instanceof Uint8Array) || bytes.length % 8 !== 0) return undefined;
  // A copy: words lie at multiples of four.
  const hashes = new Uint32Array(new Uint8Array(bytes).buffer);
  return { id, tokens, hashes };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= MOST;
}
