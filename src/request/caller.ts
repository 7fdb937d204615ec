import type { Arrival } from './arrival.ts';
import type { Runtime } from './runtime.ts';

/** Who makes a request, as far as the router knows. */
export interface Caller {
  /** Whether the router checked a key of its own: then the client's credentials are not for workers. */
  readonly keyChecked: boolean;
}

/** Anybody: no keys are asked for. */
export const ANYBODY: Caller = { keyChecked: false };

/** Finds out who calls. */
export function authenticate(rt: Runtime, arrival: Arrival): Caller | Promise<Caller> {
  void rt;
  void arrival;
  return ANYBODY;
}
