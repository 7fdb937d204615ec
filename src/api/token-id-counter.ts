import { KeySearch, searchKey } from './key-search.ts';

const TOKEN_IDS = searchKey('token_ids');
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const SPACE = 0x20;

/** Counts the entries of every list `token_ids` in JSON that passes by: the tokens of an answer, where they come as such. */
export class TokenIdCounter {
  count = 0;
  readonly #key = new KeySearch(TOKEN_IDS);
  #state: 'search' | 'colon' | 'value' | 'first' | 'list' = 'search';

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'search') {
        const key = this.#key.next(chunk, at);
        if (key < 0) break;
        this.#state = 'colon';
        at = key;
      } else {
        at = this.#along(chunk, at);
      }
    }
    this.#key.keep(chunk);
  }

  #along(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    if (byte <= SPACE) return at + 1;
    if (this.#state === 'colon' && byte === COLON) this.#state = 'value';
    else if (this.#state === 'value' && byte === OPEN_BRACKET) this.#state = 'first';
    else if (this.#state === 'first' && byte !== CLOSE_BRACKET) {
      this.count += 1;
      this.#state = 'list';
    } else if (this.#state === 'list' && byte !== CLOSE_BRACKET) {
      if (byte === COMMA) this.count += 1;
    } else {
      this.#state = 'search';
      return at;
    }
    return at + 1;
  }
}
