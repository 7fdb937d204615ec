import type { MessageKind, QuestionKind } from '../base/channel.ts';
import type { Regions } from '../base/thread-memory.ts';
import type { DescriptorPlan } from '../app/descriptors.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { PluginSource } from '../plugins/load-plugins.ts';

/** What a request thread is started with. */
export interface ThreadStart {
  /** Its row in the shared memory. */
  readonly row: number;
  readonly rows: number;
  readonly regions: Regions;
  readonly portable: PortableConfig;
  /** The number of that configuration: it was put in force as the how manyeth. */
  readonly generation: number;
  /** Whether it makes up chats once it listens. */
  readonly warmUp: boolean;
  readonly plugins: readonly PluginSource[];
  /** The folder with what has been made of the sources; undefined where nothing need be made of them. */
  readonly compileCache: string | undefined;
  /** Of the whole process. */
  readonly descriptors: DescriptorPlan;
}

/** Listen on this port, beside the other threads; answered with nothing when it does. */
export const LISTEN: QuestionKind<number, undefined> = { name: 'thread.listen' };
/** The router is about to stop: not ready any more, still serving. */
export const STOPPING: MessageKind<undefined> = { name: 'thread.stopping' };
/** Stop listening; answered when the last response has left. */
export const STOP: QuestionKind<undefined, undefined> = { name: 'thread.stop' };
/** Cut what is still open. */
export const CUT: MessageKind<undefined> = { name: 'thread.cut' };
/** Nothing is served any more: write out what is left, answered when that has been posted. */
export const CLOSE: QuestionKind<undefined, undefined> = { name: 'thread.close' };
