/** Work that yields now and then, so that it can be done between other things. */
export type Pieces<T> = Generator<undefined, T>;

/** Everything else that is due gets its turn after every piece. What is done with the first one is there at once. */
export function inPieces<T>(work: Pieces<T>): T | Promise<T> {
  const first = work.next();
  return first.done === true ? first.value : theRestOf(work);
}

async function theRestOf<T>(work: Pieces<T>): Promise<T> {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

export function inOneGo<T>(work: Pieces<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
