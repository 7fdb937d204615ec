import { totalmem } from 'node:os';

/** A quarter of what this process may use: the machine's memory, or its container's where that is less. Bytes. */
export function inflightBodyBytesOfThisMachine(): number {
  const total = totalmem();
  // Without a container limit some kernels report one far above the machine's memory, others 0.
  const constrained = process.constrainedMemory();
  const usable = constrained > 0 && constrained < total ? constrained : total;
  return Math.floor(usable / 4);
}
