import type { MessageKind } from '../../src/base/channel.ts';

/** Has a thread never come back to its event loop. */
export const HANG: MessageKind<undefined> = { name: 'test:hang' };
/** It says so, and does. */
export const HANGS: MessageKind<undefined> = { name: 'test:hangs' };
