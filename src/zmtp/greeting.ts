import { ZmtpFault } from './fault.ts';

export const GREETING_BYTES = 64;
/** Signature: 0xff, eight bytes of any value, 0x7f. */
const SIGNATURE_BYTES = 10;
const MAJOR_AT = 10;
const MINOR_AT = 11;
const MECHANISM_AT = 12;
const MECHANISM_BYTES = 20;
const MAJOR = 3;
const MINOR = 1;
const NULL_MECHANISM = 'NULL';

/** ZMTP 3.1 with the mechanism NULL: the 64 bytes that each side begins with. */
export const GREETING: Buffer = (() => {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes[0] = 0xff;
  // As libzmq fills it: to a ZMTP 1.0 peer it reads as the length of an identity.
  bytes[8] = 1;
  bytes[9] = 0x7f;
  bytes[MAJOR_AT] = MAJOR;
  bytes[MINOR_AT] = MINOR;
  bytes.write(NULL_MECHANISM, MECHANISM_AT, 'latin1');
  return bytes;
})();

/**
 * Looks at as much of a peer's greeting as has come, so that one who speaks something else is not waited for.
 * @throws ZmtpFault
 */
export function checkGreeting(bytes: Buffer): void {
  if (bytes[0] !== 0xff || (bytes.length >= SIGNATURE_BYTES && bytes[9] !== 0x7f))
    throw new ZmtpFault('not_zmtp', 'what it begins with is no ZMTP greeting');
  const major = bytes[MAJOR_AT];
  if (major !== undefined && major < MAJOR) throw new ZmtpFault('refused', `it speaks ZMTP ${major}.x`);
}

/**
 * The minor version in which both speak, from a whole greeting. Versions above 3 speak 3 as well.
 * @throws ZmtpFault
 */
export function sharedMinor(greeting: Buffer): number {
  checkGreeting(greeting);
  const end = MECHANISM_AT + MECHANISM_BYTES;
  const mechanism = greeting.toString('latin1', MECHANISM_AT, end).replace(/\0+$/, '');
  if (mechanism !== NULL_MECHANISM)
    throw new ZmtpFault('refused', `it wants the mechanism ${JSON.stringify(mechanism)}, not NULL`);
  return greeting[MAJOR_AT]! > MAJOR ? MINOR : Math.min(MINOR, greeting[MINOR_AT]!);
}
