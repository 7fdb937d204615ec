import { LongIds } from './long-ids.ts';
import { LongText, type TextSink } from './long-text.ts';

/** Where a prompt is read into, piece by piece, without ever being joined into one string. */
export interface PromptSink extends TextSink {
  /** A boundary: what follows belongs to this role (`system`, `user`, `tools`, `prompt`, ...). */
  role(name: string): void;
  tokens(ids: ArrayLike<number>): void;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** A list is none, nor is what a long value is held in. */
export function isObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(value instanceof LongText) && !(value instanceof LongIds);
}

/** The value, as JSON would have it where it is a long one. */
export function plain(value: unknown): unknown {
  return value instanceof LongText || value instanceof LongIds ? value.toJSON() : value;
}
