import { unitVector, type UnitVector } from './unit-vector.ts';

/** What no embedding model comes near to. */
const MOST_DIMENSIONS = 16_384;

export type ReadEmbedding =
  | { readonly kind: 'vector'; readonly vector: UnitVector }
  /** `problem` follows the words "its answer". */
  | { readonly kind: 'unusable'; readonly problem: string };

/**
 * The one vector of an answer to `POST /v1/embeddings`: `data[0].embedding`, numbers, or base64 of little-endian 32-bit floats where
 * a service always answers so.
 */
export function readEmbedding(answer: Buffer): ReadEmbedding {
  let said: unknown;
  try {
    said = JSON.parse(answer.toString('utf8'));
  } catch {
    return unusable('is not JSON');
  }
  const values = valuesOf(said);
  if (values === undefined) return unusable('has no data[0].embedding that is a list of numbers');
  if (values.length === 0 || values.length > MOST_DIMENSIONS)
    return unusable(`has a vector of ${values.length} dimensions`);
  const vector = unitVector(values);
  return vector ? { kind: 'vector', vector } : unusable('has a vector without direction, or NaN in it');
}

function valuesOf(said: unknown): ArrayLike<number> | undefined {
  const data = memberOf(said, 'data');
  const embedding = memberOf(Array.isArray(data) ? data[0] : undefined, 'embedding');
  if (typeof embedding === 'string') return floatsOf(embedding);
  if (!Array.isArray(embedding)) return undefined;
  // Infinity comes as 1e999, and NaN as null: a vector with one of them has no direction.
  return embedding.every(isNumberLike) ? embedding : undefined;
}

function isNumberLike(value: unknown): value is number {
  return typeof value === 'number';
}

function floatsOf(base64: string): Float32Array | undefined {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length % 4 !== 0) return undefined;
  return Float32Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4));
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

function unusable(problem: string): ReadEmbedding {
  return { kind: 'unusable', problem };
}
