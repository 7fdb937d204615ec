/** Where a prompt is read into, piece by piece, without ever being joined into one string. */
export interface PromptSink {
  /** A boundary: what follows belongs to this role (`system`, `user`, `tools`, `prompt`, ...). */
  role(name: string): void;
  text(value: string): void;
  tokens(ids: readonly number[]): void;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
