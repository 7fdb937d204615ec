import * as z from 'zod';
import { key } from './field.ts';

/** Far more than one port's worth of connections needs. */
/** Request threads that there may be. */
export const MOST_THREADS = 64;

/** What a process does when it starts, and stays with. */
export const startKeys = {
  threads: key(z.union([z.int().min(1).max(MOST_THREADS), z.literal('auto')]).default(1), {
    group: 'Server',
    about: 'Threads that serve requests, as one router; auto = one for each CPU from three on, else one.',
  }),
  warm_up: key(z.boolean().default(true), {
    group: 'Server',
    about: 'Made-up chats once it listens, apart, until a client asks or 0.3 s of CPU are spent.',
  }),
};
