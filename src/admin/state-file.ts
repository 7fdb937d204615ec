import { readFileSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import type { Clock, Timer } from '../base/clock.ts';
import { ensureDir } from '../base/ensure-dir.ts';
import { registrationOf, workerEntry, type Registration } from '../config/schema/worker-entry.ts';
import { requestOf } from './registration.ts';
import { fieldProblems } from './validate.ts';

/** The state file cannot be used. The message says what is wrong and what to do. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError';
}

const VERSION = 1;
const stateSchema = z.strictObject({
  version: z.literal(VERSION, {
    error: `expected ${VERSION}: another version of vllm-router wrote this file`,
  }),
  workers: z.array(workerEntry),
});

const RETRY_MS = 5_000;
/** It holds keys of workers. */
const OWNER_ONLY = 0o600;

export interface StateFileDeps {
  readonly clock: Clock;
  /** What is to be on disk, read when it is written. */
  readonly snapshot: () => readonly Registration[];
  /** Told of every write that failed; it is tried again. */
  readonly onFailure: (error: Error) => void;
}

/**
 * Keeps the workers that were registered through the API over a restart. The file is replaced as a whole (written
 * beside it, flushed, renamed), so that a crash leaves the old or the new one. Changes that come while one is being
 * written are written together afterwards.
 */
export class StateFile {
  readonly path: string;
  readonly #deps: StateFileDeps;
  /** Changes so far, and those of them that a write (good or bad) has covered. */
  #changes = 0;
  #covered = 0;
  #writing = false;
  #waiting: { readonly change: number; readonly resolve: () => void }[] = [];
  #retry: Timer | undefined;
  #failure: string | undefined;
  #closed = false;

  constructor(path: string, deps: StateFileDeps) {
    this.path = resolve(path);
    this.#deps = deps;
  }

  /** @throws StateFileError when there is a file that cannot be understood. No file is an empty one. */
  read(): readonly Registration[] {
    let text: string;
    try {
      ensureDir(dirname(this.path));
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw new StateFileError(`cannot read the state file ${this.path}: ${messageOf(error)}`);
    }
    return parse(text, this.path);
  }

  /** Something has changed: it is written soon. */
  save(): void {
    this.#changes += 1;
    if (!this.#writing) void this.#write();
  }

  /** Resolves when every change so far is on disk, or has failed to get there: `failure` tells which. */
  settled(): Promise<void> {
    const change = this.#changes;
    if (this.#covered >= change) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ change, resolve });
    });
  }

  /** Why the last write failed; undefined when the file is up to date. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @throws StateFileError when the last write failed. */
  assertWritten(): void {
    if (this.#failure !== undefined)
      throw new StateFileError(`cannot write the state file ${this.path}: ${this.#failure}`);
  }

  /** Finishes what is being written; a write that has failed is tried once more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    if (this.#failure !== undefined) this.save();
    await this.settled();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#covered < this.#changes) {
      const change = this.#changes;
      try {
        await replaceFile(this.path, serialise(this.#deps.snapshot()));
        this.#failure = undefined;
        this.#retry?.cancel();
      } catch (error) {
        this.#failed(error instanceof Error ? error : new Error(String(error)));
      }
      this.#covered = change;
      const done = this.#waiting.filter((waiting) => waiting.change <= change);
      this.#waiting = this.#waiting.filter((waiting) => waiting.change > change);
      for (const { resolve } of done) resolve();
    }
    this.#writing = false;
  }

  #failed(error: Error): void {
    this.#failure = error.message;
    this.#deps.onFailure(error);
    this.#retry?.cancel();
    if (this.#closed) return;
    this.#retry = this.#deps.clock.after(RETRY_MS, () => this.save());
  }
}

function parse(text: string, path: string): readonly Registration[] {
  const fail = (what: string): StateFileError =>
    new StateFileError(
      `the state file ${path} cannot be used: ${what}. Repair it, or move it away to start without the workers in it`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What the parser says quotes the text, and the text has keys in it.
    throw fail('it is not valid JSON');
  }
  const parsed = stateSchema.safeParse(value);
  if (!parsed.success) {
    const [first] = fieldProblems(parsed.error);
    throw fail(first ? [first.path, first.message].filter(Boolean).join(': ') : 'it has the wrong shape');
  }
  return parsed.data.workers.map(registrationOf);
}

function serialise(registrations: readonly Registration[]): string {
  return `${JSON.stringify({ version: VERSION, workers: registrations.map(requestOf) }, null, 2)}\n`;
}

async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  try {
    await writeAndFlush(beside, text);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined);
    throw error;
  }
  // The rename itself is on disk only when the folder is; some file systems cannot flush one.
  const folder = await open(dirname(path), 'r').catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

async function writeAndFlush(path: string, text: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'w', OWNER_ONLY);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file?.close();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
