/** Which bytes may stand where, one entry for each of the 256: looked up once per byte of every head. */
export type Characters = Uint8Array;

export const LF = 0x0a;
export const CR = 0x0d;
export const BLANK = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** What names and methods are made of (RFC 9110 5.6.2). */
export const IN_TOKEN = charactersOf(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
/** Visible characters, blanks, tabs and bytes above 127. */
export const IN_TEXT = charactersOf(/[\t\x20-\x7e\x80-\xff]/);
export const IN_TARGET = charactersOf(/[\x21-\x7e]/);

function charactersOf(pattern: RegExp): Characters {
  return Uint8Array.from({ length: 256 }, (_, code) => (pattern.test(String.fromCharCode(code)) ? 1 : 0));
}

/** The first place from `at` on that holds something else; `bytes` must hold something else. */
export function behind(characters: Characters, bytes: Uint8Array, at: number): number {
  let end = at;
  while (characters[bytes[end] ?? 0] === 1) end += 1;
  return end;
}

export function isBlank(byte: number | undefined): boolean {
  return byte === BLANK || byte === 0x09;
}

/** The value of a hexadecimal digit, -1 where it is none. */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
