import type { Channel, Channels } from './channel.ts';
import { ownMemory, type ThreadMemory } from './thread-memory.ts';

/**
 * What this thread is in its router: the only one, the one in control of request threads, or one of those. Whatever threads must
 * know of each other goes through the memory they share, or over the channels between control and each of them.
 */
export type ThreadPart =
  | { readonly kind: 'alone'; readonly memory: ThreadMemory }
  | { readonly kind: 'control'; readonly memory: ThreadMemory; readonly channels: Channels }
  | { readonly kind: 'request'; readonly memory: ThreadMemory; readonly channel: Channel };

/** A thread that answers to no other. */
export type OwnPart = Exclude<ThreadPart, { readonly kind: 'request' }>;

/** One whose router has others in control of it. */
export type RequestPart = Extract<ThreadPart, { readonly kind: 'request' }>;

/** For a router with one thread. */
export function aloneInRouter(): OwnPart {
  return { kind: 'alone', memory: ownMemory() };
}
