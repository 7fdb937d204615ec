import { chatCompletions } from './chat.ts';
import { completions } from './completions.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { badRequest } from './api-error.ts';
import { arrayField } from './fields.ts';
import { faultJson, parseFault, type Fault } from './faults.ts';
import { listModels, loadAdapter, unloadAdapter } from './models.ts';
import type { SimState } from './sim-state.ts';

export type Handler = (sim: SimState, exchange: Exchange, control: FaultControl) => void;

/** How the control route reaches the faults. */
export interface FaultControl {
  readonly faults: readonly Fault[];
  setFaults(faults: readonly unknown[]): Promise<void>;
}

export interface Route {
  readonly handler: Handler;
  /** Counted by `/load` and hit by faults without a path. */
  readonly inference: boolean;
  /** Only there in vLLM's development mode. */
  readonly dev: boolean;
}

const inference = (handler: Handler): Route => ({ handler, inference: true, dev: false });
const info = (handler: Handler): Route => ({ handler, inference: false, dev: false });

/** `METHOD /path` -> what answers it. */
export const ROUTES: ReadonlyMap<string, Route> = new Map([
  ['GET /health', info(health)],
  ['GET /ping', info(health)],
  ['POST /ping', info(health)],
  ['GET /version', info(version)],
  ['GET /load', info(load)],
  ['GET /v1/models', info(listModels)],
  ['POST /v1/chat/completions', inference(chatCompletions)],
  ['POST /v1/completions', inference(completions)],
  ['GET /sim/faults', info(readFaults)],
  ['POST /sim/faults', info(writeFaults)],
  ['DELETE /sim/faults', info(clearFaults)],
  ['POST /v1/load_lora_adapter', info(loadAdapter)],
  ['POST /v1/unload_lora_adapter', info(unloadAdapter)],
]);

/** Routes with a variable part, which is the first group. */
const PATTERNS: readonly (readonly [method: string, pattern: RegExp, route: Route])[] = [];

export type FoundRoute =
  | { readonly kind: 'route'; readonly route: Route; readonly pathId: string }
  /** The path is there, the method is not. */
  | { readonly kind: 'method' }
  | { readonly kind: 'none' };

const NONE: FoundRoute = { kind: 'none' };
const PATHS: ReadonlySet<string> = new Set([...ROUTES.keys()].map((key) => key.slice(key.indexOf(' ') + 1)));
const FIXED: ReadonlyMap<string, FoundRoute> = new Map(
  [...ROUTES].map(([key, route]) => [key, { kind: 'route', route, pathId: '' }]),
);

export function findRoute(method: string, path: string): FoundRoute {
  const fixed = FIXED.get(`${method} ${path}`);
  if (fixed) return fixed;
  for (const [patternMethod, pattern, route] of PATTERNS) {
    const match = patternMethod === method ? pattern.exec(path) : null;
    if (match) return { kind: 'route', route, pathId: decodeURIComponent(match[1] ?? '') };
  }
  return PATHS.has(path) ? { kind: 'method' } : NONE;
}

function readFaults(_sim: SimState, exchange: Exchange, control: FaultControl): void {
  exchange.reply.json(JSON.stringify({ faults: control.faults.map(faultJson) }));
}

/** Replaces all faults. A refusal must name its end: nobody could call it off over a closed port. */
function writeFaults(_sim: SimState, exchange: Exchange, control: FaultControl): void {
  const list = arrayField(fieldsOf(exchange), 'faults') ?? [];
  const faults = list.map((source) => {
    const parsed = parseFault(source);
    if (parsed.kind === 'error') throw badRequest(parsed.message, 'faults');
    if (parsed.fault.kind === 'refuse' && parsed.fault.forMs === undefined) {
      throw badRequest('fault refuse: for_ms is required here', 'faults');
    }
    return parsed.fault;
  });
  if (faults.every((fault) => fault.kind !== 'refuse')) {
    void control.setFaults(list);
  } else {
    // The answer must leave before the port closes.
    exchange.response.once('finish', () => {
      void control.setFaults(list);
    });
  }
  exchange.reply.json(JSON.stringify({ faults: faults.map(faultJson) }));
}

function clearFaults(_sim: SimState, exchange: Exchange, control: FaultControl): void {
  void control.setFaults([]);
  exchange.reply.json(JSON.stringify({ faults: [] }));
}

function health(_sim: SimState, exchange: Exchange): void {
  exchange.reply.send(200, 'text/plain; charset=utf-8', '');
}

function version(_sim: SimState, exchange: Exchange): void {
  exchange.reply.json('{"version":"0.29.0+sim"}');
}

function load(sim: SimState, exchange: Exchange): void {
  exchange.reply.json(`{"server_load":${String(sim.inFlight)}}`);
}
