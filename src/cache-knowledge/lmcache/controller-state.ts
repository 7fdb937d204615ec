import type { ControllerApi, LmcacheInstance } from './controller.ts';

/** What is known of the controller itself. A value: request threads are sent it as it is. */
export interface ControllerState {
  /** Undefined while no answer has told. */
  readonly api: ControllerApi | undefined;
  /** As of `listedAt`. */
  readonly instances: readonly LmcacheInstance[];
  /** `Clock.now` of the list; undefined where there is none: not yet, or because the controller is too old to have one. */
  readonly listedAt: number | undefined;
  /** Whether the last try came through to it. */
  readonly reachable: boolean;
}

export const NOTHING_KNOWN: ControllerState = {
  api: undefined,
  instances: [],
  listedAt: undefined,
  reachable: false,
};

/** Where the state of the controller comes from: this thread asks for it itself, or the one in control does for all. */
export interface ControllerStates {
  readonly state: ControllerState;
  /** Told of every new state. */
  onState(listener: (state: ControllerState) => void): void;
  /** Whether somebody needs it. Asked for only while that is so. */
  want(wanted: boolean): void;
  /** An instance was named that is not among these. It is asked again soon, and not for each of them. */
  refresh(): void;
}
