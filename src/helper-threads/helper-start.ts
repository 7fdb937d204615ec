import type { Channel } from '../base/channel.ts';

/** What a helper thread is started with; posted to it. */
export interface HelperStart {
  /** The module that it runs: `HelperModule`. */
  readonly module: string;
  readonly data: unknown;
  /** `Beat` cells. */
  readonly beat: SharedArrayBuffer;
  /** The folder with what has been made of the sources; undefined where nothing need be made of them. */
  readonly compileCache: string | undefined;
}

/** What the module of a helper thread exports. */
export interface HelperModule<Data> {
  /** Must listen on the channel before it returns: what was posted meanwhile comes right after. */
  readonly serve: (data: Data, channel: Channel) => void;
}

/** Cells of 32 bits in the memory that a helper thread shares with the one that started it. */
export const BEAT = { count: 0, serves: 1, cells: 2 } as const;

/** How often a helper thread says that its event loop turns. */
export const BEAT_MS = 250;
