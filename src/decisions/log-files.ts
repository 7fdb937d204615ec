import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { systemCode } from '../base/system-reason.ts';

/** The file that is written to, opened for appending. */
export interface CurrentFile {
  readonly handle: FileHandle;
  bytes: number;
  /** Whether its last line has no end: a process died, or a disk was full, in the middle of it. */
  torn: boolean;
  readonly openedAt: number;
}

const LF = 0x0a;

export async function openCurrent(path: string, now: number): Promise<CurrentFile> {
  // For reading, too: whether the last line is whole.
  const handle = await open(path, 'a+', 0o640);
  try {
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    return { handle, bytes: size, torn: size > 0 && last[0] !== LF, openedAt: now };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Whether the open file is still the one that the path leads to. */
export async function isAt({ handle }: CurrentFile, path: string): Promise<boolean> {
  const open = await handle.stat();
  const named = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  });
  return named?.ino === open.ino && named.dev === open.dev;
}

/** `decisions.jsonl` becomes `decisions-20260102T030405678Z.jsonl`; a number is added where that name is taken, so that the
 * order of the names is the order of time. */
export async function moveAside(path: string, wallMs: number): Promise<string> {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[-:.]/g, '');
  for (let copy = 0; ; copy += 1) {
    const target = `${stemOf(path)}-${stamp}${copy === 0 ? '' : String(copy).padStart(4, '0')}${endingOf(path)}`;
    if ((await exists(target)) || (await exists(`${target}.gz`))) continue;
    await rename(path, target);
    return target;
  }
}

/** Compresses a segment and removes the original; an unfinished result of an earlier try is replaced. */
export async function compress(path: string): Promise<void> {
  const unfinished = `${path}.gz.part`;
  try {
    await pipeline(createReadStream(path), createGzip(), createWriteStream(unfinished, { mode: 0o640 }));
    await rename(unfinished, `${path}.gz`);
    await rm(path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Finished segments of the log at `path`, oldest first, compressed or not. */
export async function segmentsOf(path: string): Promise<string[]> {
  const prefix = `${basename(stemOf(path))}-`;
  const ending = endingOf(path);
  const names = await readdir(dirname(path));
  const isSegment = (name: string): boolean => {
    if (!name.startsWith(prefix)) return false;
    const plain = name.replace(/\.gz$/, '');
    return (
      plain.endsWith(ending) &&
      /^\d{8}T\d{9}Z(\d{4})?$/.test(plain.slice(prefix.length, plain.length - ending.length))
    );
  };
  return names
    .filter(isSegment)
    .sort()
    .map((name) => join(dirname(path), name));
}

export async function removeOldest(path: string, keep: number): Promise<void> {
  const segments = await segmentsOf(path);
  for (const old of segments.slice(0, Math.max(0, segments.length - keep))) await rm(old, { force: true });
}

function endingOf(path: string): string {
  return /\.[a-z]+$/i.exec(basename(path))?.[0] ?? '';
}

function stemOf(path: string): string {
  return path.slice(0, path.length - endingOf(path).length);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
