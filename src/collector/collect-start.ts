import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Its type is nowhere written down. */
type Collect = (options: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void;

/** Other threads may close the way to the collector just when it was opened here; hardly so often. */
const TRIES = 16;

/**
 * Has the collector give back what only the start needed: some 20 MiB, most of it a young generation that grew while modules
 * were loaded and that V8 never makes smaller by itself. Nothing else moves meanwhile, for 50 to 100 ms.
 */
export function collectStart(): void {
  let collect: Collect | undefined;
  for (let tries = 0; !collect && tries < TRIES; tries++) collect = wayToCollector();
  // An ordinary collection keeps the pages that it has emptied.
  collect?.({ type: 'major', flavor: 'last-resort' });
}

function wayToCollector(): Collect | undefined {
  // Contexts that are made while the flag is set have the function; there is no other way to it without a flag at the start.
  // The flag is the one of all threads.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext("typeof gc === 'function' ? gc : undefined") as Collect | undefined;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
