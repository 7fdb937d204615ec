import type { RedisSettings } from '../config/settings/redis-settings.ts';
import { KeptConnection, type KeptDeps } from './kept-connection.ts';
import type { Commands } from './redis-link.ts';
import { faultText } from './reply-fault.ts';

interface Listener {
  readonly onMessage: (payload: Buffer) => void;
  readonly onReady: (() => void) | undefined;
}

interface SubscriptionDeps extends Omit<KeptDeps, 'onReady'> {
  /** All channels are listened to. */
  readonly onReady: () => void;
}

/** Channels on a connection of their own, listened to again whenever it is made again. */
export class Subscriptions {
  readonly #connection: KeptConnection;
  readonly #deps: SubscriptionDeps;
  readonly #channels = new Map<string, Set<Listener>>();

  constructor(settings: RedisSettings, deps: SubscriptionDeps) {
    this.#deps = deps;
    this.#connection = new KeptConnection(settings, {
      ...deps,
      onReady: (redis) => {
        redis.on('messageBuffer', (channel: Buffer, payload: Buffer) => {
          this.#connection.heard();
          for (const { onMessage } of this.#channels.get(channel.toString()) ?? []) onMessage(payload);
        });
        void this.#listen(redis, [...this.#channels.keys()]);
      },
    });
  }

  add(channel: string, onMessage: (payload: Buffer) => void, onReady: (() => void) | undefined): () => void {
    const listener = { onMessage, onReady };
    const listeners = this.#channels.get(channel) ?? new Set();
    listeners.add(listener);
    this.#channels.set(channel, listeners);
    const { redis } = this.#connection;
    if (redis) void this.#listen(redis, [channel]);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#channels.get(channel) !== listeners) return;
      this.#channels.delete(channel);
      this.#connection.redis?.unsubscribe(channel).catch(() => undefined);
    };
  }

  close(): void {
    this.#channels.clear();
    this.#connection.close();
  }

  async #listen(redis: Commands, channels: readonly string[]): Promise<void> {
    try {
      if (channels.length > 0) await redis.subscribe(...channels);
    } catch (error) {
      this.#connection.lose(redis, faultText(error));
      return;
    }
    if (this.#connection.redis !== redis) return;
    this.#deps.onReady();
    for (const channel of channels) for (const { onReady } of this.#channels.get(channel) ?? []) onReady?.();
  }
}
