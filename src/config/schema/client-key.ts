import { hash } from 'node:crypto';
import * as z from 'zod';

/** 64 lower-case hexadecimal digits. */
export function sha256Of(key: string): string {
  return hash('sha256', key, 'hex');
}

const PREFIX = 'sha256:';
const DIGEST = /^[0-9a-f]{64}$/i;
const VISIBLE = /^[!-~]+$/;

/** What a client may present: it comes in a header. */
export function isClientKey(text: string): boolean {
  return VISIBLE.test(text) && (!text.startsWith(PREFIX) || DIGEST.test(text.slice(PREFIX.length)));
}

/** Turns a key, or `sha256:` and its digest, into the latter. */
export function hashed(text: string): string {
  const digest = text.startsWith(PREFIX) ? text.slice(PREFIX.length).toLowerCase() : sha256Of(text);
  return PREFIX + digest;
}

/** The digest of a key that has been through `hashed`. */
export function digestOf(text: string): string {
  return text.slice(PREFIX.length);
}

/** A client's key, as it is or as `sha256:<digest>`. Validated, nothing but the digest is left of it. */
export const clientKey = () =>
  z
    .string()
    .refine(isClientKey, 'expected a key of visible ASCII characters, or sha256: and 64 hexadecimal digits')
    .transform(hashed);

export const keyDigest = () =>
  z
    .string()
    .regex(DIGEST, 'expected the SHA-256 of a key: 64 hexadecimal digits')
    .transform((digest) => digest.toLowerCase());
