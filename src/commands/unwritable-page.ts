import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeReason } from '../base/system-reason.ts';

/** Why a page cannot be written there, as far as that shows before the work that it is about; else undefined. */
export async function unwritablePage(path: string): Promise<string | undefined> {
  try {
    await access(dirname(path), constants.W_OK);
  } catch (error) {
    return `cannot be written: ${writeReason(error)}`;
  }
  const there = await stat(path).catch(() => undefined);
  return there?.isDirectory() ? 'cannot be written: it is a directory' : undefined;
}
