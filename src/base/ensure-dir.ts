import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it. Not Node's own `recursive`: where a file system answers ENOENT to a mkdir in a
 * directory that exists, as /proc does, that one tries for ever.
 * @throws the file system's error.
 */
export function ensureDir(dir: string): void {
  try {
    mkdirSync(dir);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST') return;
    const parent = dirname(dir);
    if (code !== 'ENOENT' || existsSync(parent)) throw error;
    ensureDir(parent);
    mkdirSync(dir);
  }
}
