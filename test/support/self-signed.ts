import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** PEM texts. */
export interface SelfSigned {
  readonly key: string;
  readonly cert: string;
}

/** Makes a certificate for 127.0.0.1 that vouches for itself. Node signs, but writes no certificates. */
export function selfSigned(): SelfSigned {
  const { privateKey, publicKey } = newKeys();
  return certificate({ subject: 'test worker', publicKey, issuer: 'test worker', privateKey, serial: 1 });
}

/** Vouches for others. */
export interface Authority {
  /** PEM. */
  readonly cert: string;
  /** A certificate with its key; by default for 127.0.0.1 and for yesterday to tomorrow. */
  issue(options?: IssueOptions): SelfSigned;
}

export interface IssueOptions {
  readonly subject?: string;
  /** Host names it is for, in place of the address 127.0.0.1. */
  readonly names?: readonly string[];
  /** Expired yesterday. */
  readonly expired?: boolean;
}

/** Makes an authority of its own. */
export function authority(subject = 'test authority'): Authority {
  const { privateKey, publicKey } = newKeys();
  let serial = 1;
  const own = { subject, publicKey, issuer: subject, privateKey, serial, isAuthority: true };
  return {
    cert: certificate(own).cert,
    issue: (options = {}) => {
      const keys = newKeys();
      const { cert } = certificate({
        subject: 'test server',
        ...options,
        ...{ publicKey: keys.publicKey, issuer: subject, privateKey, serial: (serial += 1) },
      });
      return { cert, key: pemOf(keys.privateKey) };
    },
  };
}

interface CertificateOptions extends IssueOptions {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: string;
  /** The issuer's. */
  readonly privateKey: KeyObject;
  readonly serial: number;
  readonly isAuthority?: boolean;
}

const DAY = 86_400_000;

function certificate(options: CertificateOptions): SelfSigned {
  const { privateKey, publicKey, expired = false } = options;
  const ecdsaWithSha256 = sequence(oid(1, 2, 840, 10045, 4, 3, 2));
  const until = Date.now() + (expired ? -DAY : DAY);
  const body = sequence(
    tagged(0xa0, integer(2)),
    integer(options.serial),
    ecdsaWithSha256,
    nameOf(options.issuer),
    sequence(time(until - 2 * DAY), time(until)),
    nameOf(options.subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(options.isAuthority === true ? mayIssue() : alternativeNames(options.names))),
  );
  const signature = sign('sha256', body, privateKey);
  const cert = sequence(body, ecdsaWithSha256, tagged(0x03, Buffer.concat([Buffer.of(0), signature])));
  const lines = cert.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    key: pemOf(privateKey),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}

function newKeys(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pemOf(privateKey: KeyObject): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The attribute commonName alone. */
function nameOf(text: string): Buffer {
  return sequence(set(sequence(oid(2, 5, 4, 3), tagged(0x0c, Buffer.from(text)))));
}

/** The extension subjectAltName: host names, or the one address 127.0.0.1. */
function alternativeNames(names: readonly string[] | undefined): Buffer {
  const entries = names?.map((name) => tagged(0x82, Buffer.from(name))) ?? [
    tagged(0x87, Buffer.of(127, 0, 0, 1)),
  ];
  return sequence(oid(2, 5, 29, 17), tagged(0x04, sequence(...entries)));
}

/** The extension basicConstraints, critical, with cA. */
function mayIssue(): Buffer {
  const yes = tagged(0x01, Buffer.of(0xff));
  return sequence(oid(2, 5, 29, 19), yes, tagged(0x04, sequence(yes)));
}

/** A DER element. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function set(...parts: readonly Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts));
}

function integer(value: number): Buffer {
  return tagged(0x02, Buffer.of(value));
}

function time(at: number): Buffer {
  const text = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return tagged(0x17, Buffer.from(text.slice(2)));
}

function oid(first: number, second: number, ...rest: readonly number[]): Buffer {
  const bytes = [40 * first + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let high = part >> 7; high > 0; high >>= 7) groups.unshift((high & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Buffer.from(bytes));
}
