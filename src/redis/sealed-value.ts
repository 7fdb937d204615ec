import { createHmac, timingSafeEqual } from 'node:crypto';

/** Rises with what is changed about how values are written: others are not read. */
export const VALUE_VERSION = 1;

const MAGIC = Buffer.from('vr');
const PLAIN = 0;
const SIGNED = 1;
const HEAD_BYTES = 4;
const SIGNATURE_BYTES = 32;

/** What a value takes beside what is in it, at most. */
export const SEAL_BYTES = HEAD_BYTES + SIGNATURE_BYTES;

/** Why a value is not taken. `foreign`: nothing that a router has written. */
export type Unsealable = 'foreign' | 'version' | 'signature';

export type Unsealed =
  { readonly kind: 'value'; readonly value: Buffer } | { readonly kind: 'bad'; readonly reason: Unsealable };

/**
 * `vr`, the version, whether it is signed, the HMAC-SHA256 where it is, the value. The signature covers the key, so that nobody can put
 * what stands under one key under another.
 */
export function sealed(key: string, value: Buffer, secret: string | undefined): Buffer {
  const head = Buffer.from([...MAGIC, VALUE_VERSION, secret === undefined ? PLAIN : SIGNED]);
  if (secret === undefined) return Buffer.concat([head, value]);
  return Buffer.concat([head, signature(key, value, secret), value]);
}

/** What a server answers need not be what it was asked for. */
export function isBytes(answer: unknown): answer is Buffer {
  return Buffer.isBuffer(answer);
}

/** With a secret only what is signed with it is taken; without one also what others have signed. */
export function unsealed(key: string, bytes: Buffer, secret: string | undefined): Unsealed {
  if (bytes.length < HEAD_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return bad('foreign');
  if (bytes[2] !== VALUE_VERSION) return bad('version');
  const isSigned = bytes[3] === SIGNED;
  if (!isSigned && bytes[3] !== PLAIN) return bad('foreign');
  const value = bytes.subarray(isSigned ? SEAL_BYTES : HEAD_BYTES);
  if (isSigned && bytes.length < SEAL_BYTES) return bad('foreign');
  if (secret === undefined) return { kind: 'value', value };
  const given = bytes.subarray(HEAD_BYTES, SEAL_BYTES);
  if (!isSigned || !timingSafeEqual(given, signature(key, value, secret))) return bad('signature');
  return { kind: 'value', value };
}

function signature(key: string, value: Buffer, secret: string): Buffer {
  const hmac = createHmac('sha256', secret);
  return hmac
    .update(`${VALUE_VERSION}\n${Buffer.byteLength(key)}\n${key}\n`)
    .update(value)
    .digest();
}

function bad(reason: Unsealable): Unsealed {
  return { kind: 'bad', reason };
}
