/** GPU blocks that a worker's LMCache has room for, where nothing else is said. */
export const ROOM = 4;

/** Blocks of CPU memory that a worker with so many on its GPU has for LMCache. */
export function lmcacheBlocks(gpuBlocks: number): number {
  return ROOM * gpuBlocks;
}
