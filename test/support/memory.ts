import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const LOOKS = 4;

let collectGarbage: (() => void) | undefined;

/** Bytes in use by the process when everything unreachable is gone, Buffers included. */
export function memoryInUse(): number {
  if (!collectGarbage) {
    setFlagsFromString('--expose-gc');
    // The flag makes it a function of every context that is made from now on.
    collectGarbage = runInNewContext('gc') as () => void;
  }
  let least = Infinity;
  // A collection finds which Buffers are gone; another thread gives them back afterwards.
  for (let turn = 0; turn < LOOKS; turn += 1) {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    least = Math.min(least, heapUsed + arrayBuffers);
  }
  return least;
}
