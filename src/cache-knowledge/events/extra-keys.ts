import { BadMsgpack, type MsgpackCursor } from '../../base/msgpack-cursor.ts';

/** What the engine puts into the hashes of blocks beside their tokens. */
export interface ExtraKeys {
  readonly salt: string;
  readonly extras: readonly string[] | undefined;
}

export const NO_EXTRA_KEYS: ExtraKeys = { salt: '', extras: undefined };

/**
 * Reads `extra_keys`: for each block nil or a list of the adapter's name, pictures (a text, or a text and where it begins), the salt
 * (of a prompt's first block, as text) and digests of embeddings. Texts cannot be told apart: one that is the adapter's name
 * is left out, and of those left in a prompt's first block the last one is the salt.
 *
 * @returns undefined where there are more lists than blocks.
 */
export function readExtraKeys(
  cursor: MsgpackCursor,
  blocks: number,
  adapter: string,
  beginsPrompt: boolean,
): ExtraKeys | undefined {
  const lists = cursor.readArray();
  if (lists > blocks) return undefined;
  let salt = '';
  let extras: string[] | undefined;
  for (let block = 0; block < lists; block += 1) {
    if (cursor.takeNil()) continue;
    const keys = readKeys(cursor, adapter);
    if (beginsPrompt && block === 0) salt = takeSalt(keys);
    if (keys.length === 0) continue;
    extras ??= new Array<string>(blocks).fill('');
    extras[block] = JSON.stringify(keys);
  }
  return salt === '' && extras === undefined ? NO_EXTRA_KEYS : { salt, extras };
}

type Key = string | readonly [string, number] | { readonly hex: string };

function readKeys(cursor: MsgpackCursor, adapter: string): Key[] {
  const keys: Key[] = [];
  let adapterSeen = adapter === '';
  for (let left = cursor.readArray(); left > 0; left -= 1) {
    const key = readKey(cursor);
    // Its place is the first one; a picture or a salt of the same name stays.
    if (!adapterSeen && key === adapter) adapterSeen = true;
    else keys.push(key);
  }
  return keys;
}

function readKey(cursor: MsgpackCursor): Key {
  if (cursor.isText) return cursor.readText();
  if (cursor.isBytes) return { hex: cursor.readBytes().toString('hex') };
  if (cursor.isArray) {
    if (cursor.readArray() !== 2) throw new BadMsgpack('an extra key that is not known');
    return [cursor.readText(), cursor.readNumber()];
  }
  throw new BadMsgpack('an extra key that is not known');
}

function takeSalt(keys: Key[]): string {
  const at = keys.findLastIndex((key) => typeof key === 'string');
  const salt = keys[at];
  if (typeof salt !== 'string') return '';
  keys.splice(at, 1);
  return salt;
}
