import type { PortableConfig } from '../config/load/material.ts';
import type { Settings } from '../config/settings/settings.ts';

/** Where clients come in: the listener of this thread, or those of request threads. */
export interface Front {
  /** Threads that serve requests: how many there are to be, and how many are there. */
  readonly threads: { readonly configured: number; readonly serving: number };
  /** Resolves to the port. Rejects with the system's error when it cannot be listened on. */
  listen(): Promise<number>;
  /** Whatever takes a moment and can fail. What is returned puts the settings in force, at once and without failing. */
  prepare(settings: Settings, portable: PortableConfig): (() => void) | Promise<() => void>;
  /** From now on the router is not ready, and still serves. */
  announceStop(): void;
  /** Closes each connection after its response; resolves when the last one has left. */
  stop(): Promise<void>;
  /** Cuts whatever is still open. */
  cut(): void;
  /** After `stop`: gives back what served the requests. */
  close(): Promise<void>;
}
