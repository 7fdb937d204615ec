/** An answer as it is kept: always in one piece, also where it came as a stream. */
export interface StoredAnswer {
  /** ms since 1970. */
  readonly createdAt: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  /** The provider that gave it, where it was not the fleet. */
  readonly external?: string | undefined;
}

/** Rises with what is stored and how: an older entry is one that is not there. */
const VERSION = 1;
const LENGTHS = 5;
const LONGEST_HEAD = 4096;

/** Of an answer whose body has so many bytes. */
export function longestStored(bodyBytes: number): number {
  return LENGTHS + LONGEST_HEAD + bodyBytes;
}

/** A byte with the version, the length of the head in four, the head as JSON, the body. */
export function encodeAnswer({ body, ...about }: StoredAnswer): Buffer {
  const head = Buffer.from(JSON.stringify(about));
  const lengths = Buffer.alloc(LENGTHS);
  lengths.writeUInt8(VERSION);
  lengths.writeUInt32BE(head.length, 1);
  return Buffer.concat([lengths, head, body]);
}

/** undefined for whatever is none of this version: a store may hold anybody's bytes. */
export function decodeAnswer(bytes: Buffer): StoredAnswer | undefined {
  if (bytes.length < LENGTHS || bytes.readUInt8() !== VERSION) return undefined;
  const length = bytes.readUInt32BE(1);
  const from = LENGTHS + length;
  if (length > LONGEST_HEAD || from >= bytes.length) return undefined;
  const about = readHead(bytes.toString('utf8', LENGTHS, from));
  return about && { ...about, body: bytes.subarray(from) };
}

function readHead(text: string): Omit<StoredAnswer, 'body'> | undefined {
  let head: unknown;
  try {
    head = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof head !== 'object' || head === null) return undefined;
  // What it is has yet to be seen.
  const { createdAt, contentType, promptTokens, completionTokens, external } = head as Record<
    string,
    unknown
  >;
  if (typeof createdAt !== 'number' || typeof contentType !== 'string') return undefined;
  if (!/^application\/json\b[\x20-\x7e]*$/.test(contentType)) return undefined;
  return {
    createdAt,
    contentType,
    promptTokens: countOf(promptTokens),
    completionTokens: countOf(completionTokens),
    ...(typeof external === 'string' && { external }),
  };
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
