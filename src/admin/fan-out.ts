import type { Worker } from '../workers/worker.ts';

/** Servers asked at once: a fleet of thousands must not be a burst of as many connections. */
const AT_ONCE = 64;

/** Calls `work` for every item, some at a time; results in the order of the items. */
export async function fanOut<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  atOnce = AT_ONCE,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) {
      // `at` is an index of `items`, whatever they are.
      results[at] = await work(items[at] as Item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  return results;
}

/** The workers of every server: ranks of one server are one entry. */
export function byServer(workers: readonly Worker[]): readonly (readonly Worker[])[] {
  return [...Map.groupBy(workers, ({ spec }) => spec.baseUrl).values()];
}
