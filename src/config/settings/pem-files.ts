import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { CheckProblem } from '../schema/check-problem.ts';
import { systemReason } from '../../base/system-reason.ts';

/** A certificate, the chain behind it and its key. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  /** When the certificate ends, ms since 1970. */
  readonly expiresAt: number;
}

/** What names a file, and where. */
export interface NamedFile {
  readonly file: string | undefined;
  readonly path: readonly PropertyKey[];
}

/** Reads certificates and keys in PEM, and notes what is wrong with them. Content is never quoted. */
export class PemFiles {
  readonly problems: CheckProblem[] = [];
  /** Absolute paths of what was read, or looked for. */
  readonly files: string[] = [];
  readonly #cwd: string;

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  /** Undefined where neither is named, and where something is wrong. */
  pair(certificate: NamedFile, privateKey: NamedFile): Pair | undefined {
    const { file: certFile, path: certPath } = certificate;
    const { file: keyFile, path: keyPath } = privateKey;
    if (certFile === undefined && keyFile === undefined) return undefined;
    if (certFile === undefined || keyFile === undefined) {
      const [given, missing] = certFile === undefined ? [keyPath, certPath] : [certPath, keyPath];
      this.note(given, `needs ${missing.join('.')} beside it`);
      return undefined;
    }
    const cert = this.#read(certFile, certPath);
    const leaf = cert === undefined ? undefined : this.#certificate(cert, certFile, certPath);
    const text = this.#read(keyFile, keyPath);
    const key = text === undefined ? undefined : this.#key(text, keyFile, keyPath);
    if (cert === undefined || !leaf || text === undefined || !key) return undefined;
    if (leaf.checkPrivateKey(key)) return { cert, key: text, expiresAt: Date.parse(leaf.validTo) };
    this.note(keyPath, `${keyFile} is not the key of the first certificate in ${certFile}`);
    return undefined;
  }

  /** One or more certificates. */
  authorities({ file, path }: NamedFile): string | undefined {
    const text = file === undefined ? undefined : this.#read(file, path);
    if (file === undefined || text === undefined) return undefined;
    return this.#certificate(text, file, path) ? text : undefined;
  }

  /** The first of a file in which all are readable. */
  #certificate(text: string, file: string, path: readonly PropertyKey[]): X509Certificate | undefined {
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
    try {
      const [first] = blocks.map((block) => new X509Certificate(block));
      if (first) return first;
      this.note(path, `no certificate in PEM in ${file}`);
    } catch {
      this.note(path, `a certificate in ${file} cannot be read`);
    }
    return undefined;
  }

  #key(text: string, file: string, path: readonly PropertyKey[]): KeyObject | undefined {
    try {
      return createPrivateKey(text);
    } catch {
      const hint = text.includes('ENCRYPTED')
        ? 'has a passphrase: give it without one'
        : 'is no private key in PEM';
      this.note(path, `${file} ${hint}`);
      return undefined;
    }
  }

  /** Notes what OpenSSL objects to beyond the single files, e.g. a key that is too short. */
  tryTogether(options: Parameters<typeof createSecureContext>[0], path: readonly PropertyKey[]): void {
    try {
      createSecureContext(options);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
      this.note(path, `not accepted: ${code}`);
    }
  }

  #read(file: string, path: readonly PropertyKey[]): string | undefined {
    const absolute = resolve(this.#cwd, file);
    this.files.push(absolute);
    try {
      return readFileSync(absolute, 'utf8');
    } catch (error) {
      this.problems.push({
        path,
        message: `${file} cannot be read: ${systemReason(error)}`,
        unreadable: true,
      });
      return undefined;
    }
  }

  note(path: readonly PropertyKey[], message: string): void {
    this.problems.push({ path, message });
  }
}
