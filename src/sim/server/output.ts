import type { SequenceTokens } from '../engine/sequence.ts';
import { scramble, tokenText } from '../engine/tokens.ts';

/** What the simulated model will say: fixed when the request comes in, told as the engine gets there. */
export interface Output {
  readonly ids: readonly number[];
  /** The text of each token, escaped for the inside of a JSON string. */
  readonly pieces: readonly string[];
  readonly finishReason: 'stop' | 'length';
  readonly stopReason: string | null;
}

/** One answer to be generated: the prompt, and what will be said. */
export interface Planned {
  readonly promptTokens: number;
  /** Only when the caller asked for them (`return_token_ids`). */
  readonly promptIds: readonly number[] | undefined;
  readonly output: Output;
  readonly hashes: Uint32Array;
  /** Only where cache events are published. */
  readonly tokens: SequenceTokens | undefined;
  /** Which of the `n` answers to the same prompt. */
  readonly choice: number;
}

export interface Sampling {
  /** Hard limit, tokens. */
  readonly maxTokens: number;
  readonly minTokens: number;
  /** Goes on to `maxTokens`. */
  readonly ignoreEos: boolean;
  readonly stop: readonly string[];
  readonly includeStop: boolean;
}

const WORDS = (
  'the sun and sea map sky ink oak elm ash fog ice bay owl fox hen bee ant cat dog cow ' +
  'red big low new old dry wet hot few one two six ten net jar cup pan lid key pin bow ' +
  'saw axe box bag row day dew arc age aim air arm art bar bed bit bus'
)
  .split(' ')
  .map((word) => `${word} `);
const LAST_WORD = 'end.';
const WORD_IDS = WORDS.map(fourCharacters);
const LAST_WORD_ID = fourCharacters(LAST_WORD);

/** The token id of a text of exactly four ASCII characters: what `tokenize` makes of it. */
function fourCharacters(text: string): number {
  let packed = 4 << 28;
  for (let i = 0; i < 4; i++) packed |= text.charCodeAt(i) << (7 * i);
  return packed;
}

/** Where a model stops by itself: `mean` tokens, give or take `spread`; always the same for the same `seed`. */
export function naturalLength(seed: number, mean: number, spread: number): number {
  const chance = scramble(seed ^ 0x51ed270b) / 2 ** 32;
  return Math.max(1, Math.round(mean * (1 + spread * (2 * chance - 1))));
}

/** Made-up words, one token each, the same for the same `seed`. */
export function wordsOutput(seed: number, natural: number, sampling: Sampling): Output {
  const wanted = sampling.ignoreEos ? sampling.maxTokens : Math.max(natural, sampling.minTokens);
  const length = Math.min(wanted, sampling.maxTokens);
  const stops = !sampling.ignoreEos && wanted <= sampling.maxTokens;
  const ids = new Array<number>(length);
  const pieces = new Array<string>(length);
  let state = seed | 0;
  for (let i = 0; i < length; i++) {
    state = (state + 0x9e3779b9) | 0;
    const word = scramble(state) % WORDS.length;
    ids[i] = WORD_IDS[word] ?? 0;
    pieces[i] = WORDS[word] ?? '';
  }
  if (stops) {
    ids[length - 1] = LAST_WORD_ID;
    pieces[length - 1] = LAST_WORD;
  }
  return cutAtStop({ ids, pieces, finishReason: stops ? 'stop' : 'length', stopReason: null }, sampling);
}

/** Says exactly `said`, as far as `maxTokens` allows. */
export function fixedOutput(said: readonly number[], sampling: Sampling): Output {
  // An engine always generates one token at least: the one that says "end of text".
  const ids = said.length === 0 ? [0] : said.slice(0, sampling.maxTokens);
  const pieces = ids.map((id) => escapeJson(tokenText(id)));
  const finishReason = said.length <= sampling.maxTokens ? 'stop' : 'length';
  return cutAtStop({ ids, pieces, finishReason, stopReason: null }, sampling);
}

export function escapeJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** Ends the output with the token that completes a stop string, and its text before that string. */
function cutAtStop(output: Output, sampling: Sampling): Output {
  if (sampling.stop.length === 0) return output;
  const texts = output.ids.map(tokenText);
  const full = texts.join('');
  let start = Infinity;
  let found = '';
  for (const stop of sampling.stop) {
    const at = stop === '' ? -1 : full.indexOf(stop);
    if (at >= 0 && at + stop.length < start + found.length) {
      start = at;
      found = stop;
    }
  }
  if (found === '') return output;
  const textEnd = sampling.includeStop ? start + found.length : start;
  const pieces: string[] = [];
  let at = 0;
  for (const text of texts) {
    pieces.push(escapeJson(text.slice(0, Math.max(0, textEnd - at))));
    at += text.length;
    if (at >= start + found.length) break;
  }
  return { ids: output.ids.slice(0, pieces.length), pieces, finishReason: 'stop', stopReason: found };
}

/** The text of tokens `from` to `to`, unescaped. */
export function outputText(output: Output, from = 0, to = output.pieces.length): string {
  return String(JSON.parse(`"${output.pieces.slice(from, to).join('')}"`));
}
