import type { OwnPart, RequestPart, ThreadPart } from '../base/thread-part.ts';
import { ControlParts } from './control-parts.ts';
import { RegistryFeed } from './registry-feed.ts';
import { RegistryReplica, type ReplicaDeps } from './registry-replica.ts';
import { WorkerRegistry, type RegistryDeps } from './registry.ts';
import type { Roster } from './roster.ts';
import { ThreadParts } from './thread-parts.ts';

type Deps = Omit<RegistryDeps, 'parts'> & Pick<ReplicaDeps, 'ledger'>;

/**
 * Who is there, and how it is: in a router with one thread and in the thread in control the original, in a request thread
 * its copy, which is empty until it has been started.
 */
export function openRegistry(part: OwnPart, deps: Deps): WorkerRegistry;
export function openRegistry(part: RequestPart, deps: Deps): RegistryReplica;
export function openRegistry(part: ThreadPart, deps: Deps): Roster;
export function openRegistry(part: ThreadPart, deps: Deps): Roster {
  if (part.kind === 'alone') return new WorkerRegistry(deps);
  if (part.kind === 'request') {
    const { memory, channel } = part;
    const parts = new ThreadParts({ memory, channel, clock: deps.clock });
    return new RegistryReplica({ ...deps, channel, parts });
  }
  const { memory, channels } = part;
  const registry = new WorkerRegistry({ ...deps, parts: new ControlParts(memory, channels) });
  new RegistryFeed(registry, channels);
  return registry;
}
