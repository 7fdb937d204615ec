import { open } from 'node:fs/promises';
import { systemReason } from '../base/system-reason.ts';

/** Why a file that the command line names cannot be read; undefined where it can. */
export async function unreadableFile(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path);
    return (await file.stat()).isDirectory() ? 'cannot be read: it is a directory' : undefined;
  } catch (error) {
    return `cannot be read: ${systemReason(error)}`;
  }
}
