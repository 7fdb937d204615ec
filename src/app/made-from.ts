import { isDeepStrictEqual } from 'node:util';

/** What is made from settings, and made anew when they are others; nothing where there are none. */
export class MadeFrom<S, T> {
  readonly #make: (settings: S) => T;
  readonly #end: (made: T) => Promise<void>;
  #now: { readonly settings: S; readonly made: T } | undefined;

  constructor(make: (settings: S) => T, end: (made: T) => Promise<void>) {
    this.#make = make;
    this.#end = end;
  }

  get current(): T | undefined {
    return this.#now?.made;
  }

  follow(settings: S | undefined): void {
    if (isDeepStrictEqual(settings, this.#now?.settings)) return;
    const before = this.#now;
    // First the new one: what both have in common is then kept.
    this.#now = settings === undefined ? undefined : { settings, made: this.#make(settings) };
    if (before) void this.#end(before.made);
  }

  async close(): Promise<void> {
    const before = this.#now;
    this.#now = undefined;
    if (before) await this.#end(before.made);
  }
}
