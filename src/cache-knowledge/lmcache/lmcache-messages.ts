import type { MessageKind } from '../../base/channel.ts';
import type { ControllerState } from './controller-state.ts';

/** To request threads: what is known of LMCache's controller from now on. */
export const LMCACHE_IS: MessageKind<ControllerState> = { name: 'lmcache:is' };

/** To control: somebody in this thread needs to know it, or nobody does any more. */
export const LMCACHE_WANTED: MessageKind<boolean> = { name: 'lmcache:wanted' };

/** To control: an instance was named that is not in the list. */
export const LMCACHE_REFRESH: MessageKind<null> = { name: 'lmcache:refresh' };
