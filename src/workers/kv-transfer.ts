import type { WorkerSpec, WorkerTraits } from '../config/settings/settings.ts';

/** The traits of a worker of which something else is said: what it has told itself of how it hands over is still true. */
export function withLearnt(said: WorkerTraits, before: WorkerSpec, now: WorkerTraits): WorkerTraits {
  const declared: Readonly<Record<string, unknown>> = { ...before.traits.kvTransfer };
  const learnt = Object.entries(now.kvTransfer ?? {}).filter(([name, value]) => declared[name] !== value);
  if (learnt.length === 0) return said;
  return { ...said, kvTransfer: { ...said.kvTransfer, ...Object.fromEntries(learnt) } };
}
