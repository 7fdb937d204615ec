import { LRUCache } from 'lru-cache';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { openTokenizer, type PackagedTokenizer } from './tokenizer-package.ts';

/** Of segments and their ids. */
const KEPT_BYTES = 32 * 1024 * 1024;
/** It costs more to keep shorter ones than to encode them. */
const LEAST_KEPT = 64;
/** There are few in any chat template. */
const MOST_BOUNDARIES = 32;

interface AddedToken {
  readonly content: string;
  readonly isPlain: boolean;
}

/**
 * A tokenizer that keeps what it has encoded, in segments. A token that is added to the vocabulary ("<|im_end|>") is cut out of the text
 * before anything else looks at it, so what stands before it and what stands behind it are encoded each by itself: a chat that
 * grew by a turn has all its segments but the last ones in common with what it was.
 */
export class SegmentedEncoder {
  readonly #tokenizer: PackagedTokenizer;
  /** Behind each of these a segment ends; undefined where none can be told to be independent of its neighbours. */
  readonly #boundary: RegExp | undefined;
  readonly #kept = new LRUCache<string, Uint32Array>({
    maxSize: KEPT_BYTES,
    sizeCalculation: (ids, segment) => ids.byteLength + 2 * segment.length + 1,
  });

  /**
   * @param likely Texts in which tokens stand that end segments: templates.
   * Throws for a tokenizer that is none.
   */
  constructor(tokenizer: JsonObject, config: JsonObject, likely: readonly string[]) {
    this.#tokenizer = openTokenizer(tokenizer, config);
    this.#boundary = boundaryOf(tokenizer, likely);
  }

  /** @param addSpecialTokens Whether what a tokenizer puts around a text is put around it. */
  encode(text: string, { addSpecialTokens }: { readonly addSpecialTokens: boolean }): Uint32Array {
    if (addSpecialTokens || this.#boundary === undefined) return this.encodeWhole(text, addSpecialTokens);
    const parts: Uint32Array[] = [];
    let from = 0;
    let length = 0;
    for (const match of text.matchAll(this.#boundary)) {
      const end = match.index + match[0].length;
      const ids = this.#segment(text.slice(from, end));
      parts.push(ids);
      length += ids.length;
      from = end;
    }
    if (from < text.length) {
      const ids = this.#segment(text.slice(from));
      parts.push(ids);
      length += ids.length;
    }
    const all = new Uint32Array(length);
    let at = 0;
    for (const ids of parts) {
      all.set(ids, at);
      at += ids.length;
    }
    return all;
  }

  encodeWhole(text: string, addSpecialTokens: boolean): Uint32Array {
    return Uint32Array.from(this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  }

  #segment(segment: string): Uint32Array {
    const kept = this.#kept.get(segment);
    if (kept) return kept;
    const ids = this.encodeWhole(segment, false);
    if (segment.length >= LEAST_KEPT) this.#kept.set(segment, ids);
    return ids;
  }
}

/** Added tokens that stand for themselves wherever they are found, and that no other one could be found across. */
function boundaryOf(tokenizer: JsonObject, likely: readonly string[]): RegExp | undefined {
  // Where a text begins makes a difference to such a tokenizer.
  if (says(tokenizer['pre_tokenizer'], 'prepend_scheme', 'first')) return undefined;
  const added = addedTokens(tokenizer);
  const boundaries = added
    .filter(({ content, isPlain }) => isPlain && likely.some((text) => text.includes(content)))
    .filter((token) => !added.some((other) => other !== token && mayOverlap(token.content, other.content)))
    .map(({ content }) => escaped(content));
  if (boundaries.length === 0 || boundaries.length > MOST_BOUNDARIES) return undefined;
  return new RegExp(boundaries.join('|'), 'g');
}

function addedTokens({ added_tokens: added }: JsonObject): AddedToken[] {
  if (!Array.isArray(added)) return [];
  return (added as unknown[]).filter(isObject).flatMap((token) => {
    const { content, special, lstrip, rstrip, single_word: single, normalized } = token;
    if (typeof content !== 'string' || content === '') return [];
    const isPlain = special === true && ![lstrip, rstrip, single, normalized].includes(true);
    return [{ content, isPlain }];
  });
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

/** Whether one could begin within the other, or take space from beside it. */
function mayOverlap(one: string, other: string): boolean {
  if (one.includes(other) || other.includes(one)) return true;
  const shorter = Math.min(one.length, other.length);
  for (let common = 1; common < shorter; common++)
    if (one.endsWith(other.slice(0, common)) || other.endsWith(one.slice(0, common))) return true;
  return false;
}

/** Whether a member of that value stands anywhere in it. */
function says(value: unknown, key: string, wanted: unknown): boolean {
  if (Array.isArray(value)) return value.some((each) => says(each, key, wanted));
  if (!isObject(value)) return false;
  return value[key] === wanted || Object.values(value).some((each) => says(each, key, wanted));
}
