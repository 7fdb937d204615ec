import type { Cluster, Redis } from 'ioredis';

/** What commands are given to: a connection, or a Cluster as a whole. */
export type Commands = Redis | Cluster;

/** Why nothing came of it, in words that are fit for a label. */
export type Unavailable =
  /** No connection, and none is waited for: the next one is being made, or the server rests. */
  | 'down'
  /** Longer than the command timeout. The link rests now. */
  | 'timeout'
  /** The connection broke, or what came is no answer. The link rests now. */
  | 'broken'
  /** The server has no memory for it. Writing rests now. */
  | 'full'
  /** It is a replica, or writes nothing until it can save. Writing rests now. */
  | 'read_only'
  /** The router's user may not do that. */
  | 'denied'
  /** The server refuses it for another reason. */
  | 'refused'
  /** The link has been closed. */
  | 'closed';

export type Answer<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'unavailable'; readonly reason: Unavailable };

/** One server, a Sentinel group or a Cluster. Nothing here rejects or takes longer than the command timeout. */
export interface RedisLink {
  /** False while there is no connection: then `ask` answers at once that it is down. */
  readonly isUp: boolean;
  /** False also while the server takes no writes. */
  readonly takesWrites: boolean;
  /** Without user and password. */
  readonly name: string;
  /** What all keys and channels have to begin with; whoever asks puts it there. */
  readonly keyPrefix: string;
  /**
   * Runs `work`, all of it within the command timeout. On a Cluster the keys of one command, script or pipeline have to lie in one slot.
   * @param kind `write`: not tried while the server takes no writes.
   */
  ask<T>(work: (redis: Commands) => Promise<T>, kind?: 'read' | 'write'): Promise<Answer<T>>;
  /**
   * On a connection apart, made again when it breaks: what is published meanwhile is lost.
   * @param onReady Called each time the channel is being listened to (again).
   * @returns ends it.
   */
  subscribe(channel: string, onMessage: (payload: Buffer) => void, onReady?: () => void): () => void;
  /** Resolves when nothing is left of it. */
  close(): Promise<void>;
}
