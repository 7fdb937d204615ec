import type { Endpoint } from './endpoint.ts';
import { Listener, type ListenerEvents, type ListenerOptions } from './listener.ts';

/** Takes what is pushed by whoever connects. Rejects with the system's error where nobody can listen there. */
export function bindPull(
  endpoint: Endpoint,
  options: ListenerOptions,
  onMessage: (frames: readonly Buffer[]) => void,
  ends: Partial<Pick<ListenerEvents, 'onEnd' | 'onRefused'>> = {},
): Promise<Listener> {
  return Listener.open(endpoint, 'PULL', options, {
    onReady: () => undefined,
    onMessage: (frames) => onMessage(frames),
    onEnd: () => undefined,
    ...ends,
  });
}
