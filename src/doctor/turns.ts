/** One after the other, for those that want the same. */
export class Turns {
  readonly #last = new Map<string, Promise<undefined>>();

  /** Resolves when it is one's turn, to what ends it. */
  async take(key: string): Promise<Disposable> {
    const before = this.#last.get(key);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#last.set(key, promise);
    await before;
    return {
      [Symbol.dispose]: () => {
        if (this.#last.get(key) === promise) this.#last.delete(key);
        resolve(undefined);
      },
    };
  }
}
