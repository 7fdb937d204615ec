import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib';
import { ByteCollector } from '../base/byte-collector.ts';
import { inPieces } from '../base/in-pieces.ts';
import { RouterError } from '../base/errors.ts';
import { noRoom, type BodyBytes, type HeldBody } from './body.ts';
import type { FlatHeaders } from './headers.ts';

/** A zlib stream; how much of its input it has used tells where the compressed data ended. */
type Decoder = Transform & { readonly bytesWritten: number };

const CHUNK = { chunkSize: 64 * 1024 };
/** RFC 9659: no sender may need more than 8 MiB of window, and no receiver need offer more. */
const ZSTD = { ...CHUNK, params: { [constants.ZSTD_d_windowLogMax]: 23 } };

const DECODERS = {
  gzip: () => createGunzip(CHUNK),
  // What HTTP calls deflate is zlib's format, but some senders leave its head away.
  deflate: (first, second) =>
    (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0
      ? createInflate(CHUNK)
      : createInflateRaw(CHUNK),
  br: () => createBrotliDecompress(CHUNK),
  zstd: () => createZstdDecompress(ZSTD),
} satisfies Record<string, (first: number, second: number) => Decoder>;

export type Coding = keyof typeof DECODERS;

const NAMES: ReadonlyMap<string, Coding> = new Map([
  ...(Object.keys(DECODERS) as Coding[]).map((coding) => [coding, coding] as const),
  ['x-gzip', 'gzip'],
]);
export const ACCEPTED = Object.keys(DECODERS).join(', ');

const MOST_CODINGS = 2;
/** Formats of which several pieces may stand one behind the other. Each costs a decoder, and may hold nothing. */
const IN_PIECES: ReadonlySet<Coding> = new Set(['gzip', 'zstd']);
const MOST_PIECES = 256;
/** Beyond so many bytes a body may be at most so many times as large as it came: a kilobyte can hold half a gigabyte. */
const FREE_BYTES = 16 * 1024 * 1024;
const MOST_TIMES = 100;

/** What `Content-Encoding` says was done to a body, in that order. Throws `unsupported_encoding`. */
export function codingsOf(headers: FlatHeaders): readonly Coding[] {
  const codings = readCodings(headers);
  if (typeof codings === 'string') throw unsupported(codings);
  return codings;
}

/** The same, or what is wrong with it. */
export function readCodings(headers: FlatHeaders): readonly Coding[] | string {
  let codings: Coding[] | undefined;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.length !== 16 || headers[at]?.toLowerCase() !== 'content-encoding') continue;
    for (const given of (headers[at + 1] ?? '').split(',')) {
      const name = given.trim().toLowerCase();
      if (name === '' || name === 'identity') continue;
      const coding = NAMES.get(name);
      if (!coding) return `the Content-Encoding ${JSON.stringify(name.slice(0, 32))} is not known`;
      codings ??= [];
      if (codings.push(coding) > MOST_CODINGS) return `more than ${MOST_CODINGS} Content-Encodings`;
    }
  }
  return codings ?? NONE;
}

/** Decodes what begins with these bytes; of `deflate` they tell the format. */
export function decoderOf(coding: Coding, first: number, second: number): Decoder {
  return DECODERS[coding](first, second);
}

const NONE: readonly Coding[] = [];

function unsupported(what: string): RouterError {
  return new RouterError('unsupported_encoding', `${what}; accepted are ${ACCEPTED}`, {
    headers: ['accept-encoding', ACCEPTED],
  });
}

export interface DecodeLimits {
  readonly maxBytes: number;
  /** Aborted when nobody wants the result any more. */
  readonly signal?: AbortSignal;
}

/**
 * The bytes before they were encoded, accounted like every body; what was encoded stays its holder's. Rejects with
 * `payload_too_large` as soon as they are more than they may be, `invalid_encoding`, `inflight_bytes_exceeded` or `client_closed`.
 */
export async function decodeBody(
  encoded: Buffer,
  codings: readonly Coding[],
  limits: DecodeLimits,
  held: BodyBytes,
): Promise<HeldBody> {
  let body: HeldBody = { bytes: encoded, release: () => undefined };
  const credible = Math.max(FREE_BYTES, MOST_TIMES * encoded.length);
  const maxBytes = Math.min(limits.maxBytes, credible);
  for (const coding of codings.toReversed()) {
    const before = body;
    try {
      body = await decodeOnce(before.bytes, coding, { ...limits, maxBytes }, held);
    } finally {
      before.release();
    }
  }
  return body;
}

async function decodeOnce(
  encoded: Buffer,
  coding: Coding,
  limits: DecodeLimits,
  held: BodyBytes,
): Promise<HeldBody> {
  const plain = new ByteCollector();
  try {
    for (let piece = 0, at = 0; at < encoded.length; piece += 1) {
      const goesOn = piece === 0 || (IN_PIECES.has(coding) && piece < MOST_PIECES);
      const used = goesOn ? await decodePiece(encoded.subarray(at), coding, plain, { limits, held }) : 0;
      if (used === 0) throw invalid(coding, 'something stands behind its end');
      at += used;
    }
  } catch (error) {
    held.give(plain.size);
    throw error;
  }
  const { size } = plain;
  let bytes: Buffer;
  try {
    bytes = await inPieces(plain.taking());
  } finally {
    held.give(size);
  }
  // Nobody else can have taken the place meanwhile.
  const body = held.hold(bytes);
  if (!body) throw noRoom();
  return body;
}

/** Resolves with how many bytes the piece took. */
function decodePiece(
  bytes: Buffer,
  coding: Coding,
  plain: ByteCollector,
  { limits, held }: { readonly limits: DecodeLimits; readonly held: BodyBytes },
): Promise<number> {
  const { maxBytes, signal } = limits;
  return new Promise((resolve, reject) => {
    const decoder = decoderOf(coding, bytes[0] ?? 0, bytes[1] ?? 0);
    const fail = (error: RouterError): void => {
      signal?.removeEventListener('abort', leave);
      decoder.destroy();
      reject(error);
    };
    const leave = (): void => {
      fail(new RouterError('client_closed', 'the client left while its body was being decoded'));
    };
    decoder.on('data', (chunk: Buffer) => {
      if (plain.size + chunk.length > maxBytes) fail(tooLargeDecoded(maxBytes));
      else if (!held.take(chunk.length)) fail(noRoom());
      else plain.push(chunk);
    });
    decoder.on('end', () => {
      signal?.removeEventListener('abort', leave);
      resolve(decoder.bytesWritten);
    });
    decoder.on('error', (error) => {
      fail(invalid(coding, error.message));
    });
    signal?.addEventListener('abort', leave);
    if (signal?.aborted) leave();
    else decoder.end(bytes);
  });
}

function tooLargeDecoded(maxBytes: number): RouterError {
  return new RouterError(
    'payload_too_large',
    `the body, decoded, is larger than ${maxBytes} bytes (max_payload_size, or ${MOST_TIMES} times what was sent)`,
  );
}

/** zlib's own words say nothing of what was in the body. */
function invalid(coding: Coding, why: string): RouterError {
  return new RouterError(
    'invalid_encoding',
    `the body is not what its Content-Encoding says (${coding}: ${why})`,
  );
}
