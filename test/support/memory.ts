import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collectGarbage: (() => void) | undefined;

/** Bytes in use by the process when everything unreachable is gone, Buffers included. */
export function memoryInUse(): number {
  if (!collectGarbage) {
    setFlagsFromString('--expose-gc');
    // The flag makes it a function of every context that is made from now on.
    collectGarbage = runInNewContext('gc') as () => void;
  }
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
