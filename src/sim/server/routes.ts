import { transcribe } from './audio.ts';
import { chatCompletions } from './chat.ts';
import { completions } from './completions.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { badRequest } from './api-error.ts';
import { arrayField } from './fields.ts';
import { faultJson, parseFault, type Fault } from './faults.ts';
import { kvEventSources } from './kv-event-sources.ts';
import { listModels, loadAdapter, unloadAdapter } from './models.ts';
import { countTokens, messages, MESSAGES_PATH } from './messages.ts';
import { metrics } from './metrics.ts';
import {
  abortAll,
  accepted,
  collectiveRpc,
  isPaused,
  isScaling,
  isSleeping,
  pause,
  resetPrefixCache,
  scaleElastic,
  serverInfo,
  sleep,
  wakeUp,
  worldSize,
} from './operator.ts';
import { classify, cohereEmbed, embeddings, pooling, rerank, score } from './pooling.ts';
import { cancelResponse, createResponse, inputItems, retrieveResponse } from './responses.ts';
import type { SimSettings } from './options.ts';
import type { SimState } from './sim-state.ts';
import {
  detokenizeRoute,
  plainGenerate,
  renderChat,
  renderCompletion,
  renderMessages,
  renderResponse,
  tokenGenerate,
  tokenizeRoute,
} from './token-routes.ts';

export type Handler = (sim: SimState, exchange: Exchange, control: FaultControl) => void;

/** How the control route reaches the faults. */
export interface FaultControl {
  readonly faults: readonly Fault[];
  missing(fault: Fault): string | undefined;
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
const dev = (handler: Handler): Route => ({ handler, inference: false, dev: true });

/** `METHOD /path` -> what answers it. */
export const ROUTES: ReadonlyMap<string, Route> = new Map([
  ['GET /health', info(health)],
  ['GET /ping', info(health)],
  ['POST /ping', info(health)],
  ['GET /version', info(version)],
  ['GET /load', info(load)],
  ['GET /metrics', info(metrics)],
  ['GET /kv_event_sources', info(kvEventSources)],
  ['GET /v1/models', info(listModels)],
  ['POST /v1/chat/completions', inference(chatCompletions)],
  ['POST /v1/completions', inference(completions)],
  ['POST /v1/responses', inference(createResponse)],
  ['POST /v1/messages', inference(messages)],
  ['POST /v1/messages/count_tokens', info(countTokens)],
  ['POST /v1/embeddings', inference(embeddings)],
  ['POST /v2/embed', inference(cohereEmbed)],
  ['POST /pooling', inference(pooling)],
  ['POST /classify', inference(classify)],
  ['POST /score', inference(score)],
  ['POST /v1/score', inference(score)],
  ['POST /rerank', inference(rerank)],
  ['POST /v1/rerank', inference(rerank)],
  ['POST /v2/rerank', inference(rerank)],
  ['POST /v1/audio/transcriptions', inference(transcribe)],
  ['POST /v1/audio/translations', inference(transcribe)],
  ['POST /generate', inference(plainGenerate)],
  ['POST /inference/v1/generate', inference(tokenGenerate)],
  ['POST /invocations', inference(invocations)],
  ['POST /tokenize', info(tokenizeRoute)],
  ['POST /detokenize', info(detokenizeRoute)],
  ['POST /v1/chat/completions/render', info(renderChat)],
  ['POST /v1/completions/render', info(renderCompletion)],
  ['POST /v1/messages/render', info(renderMessages)],
  ['POST /v1/responses/render', info(renderResponse)],
  ['POST /v1/load_lora_adapter', info(loadAdapter)],
  ['POST /v1/unload_lora_adapter', info(unloadAdapter)],
  ['POST /scale_elastic_ep', info(scaleElastic)],
  ['POST /is_scaling_elastic_ep', info(isScaling)],
  ['POST /sleep', dev(sleep)],
  ['POST /wake_up', dev(wakeUp)],
  ['GET /is_sleeping', dev(isSleeping)],
  ['POST /pause', dev(pause)],
  ['POST /resume', dev(wakeUp)],
  ['GET /is_paused', dev(isPaused)],
  ['POST /reset_prefix_cache', dev(resetPrefixCache)],
  ['POST /reset_mm_cache', dev(accepted)],
  ['POST /reset_encoder_cache', dev(accepted)],
  ['POST /init_weight_transfer_engine', dev(accepted)],
  ['POST /update_weights', dev(accepted)],
  ['POST /start_profile', dev(accepted)],
  ['POST /stop_profile', dev(accepted)],
  ['POST /abort_requests', dev(abortAll)],
  ['POST /collective_rpc', dev(collectiveRpc)],
  ['GET /get_world_size', dev(worldSize)],
  ['GET /server_info', dev(serverInfo)],
  ['GET /sim/faults', info(readFaults)],
  ['POST /sim/faults', info(writeFaults)],
  ['DELETE /sim/faults', info(clearFaults)],
]);

/** Routes with a variable part, which is the first group. */
const PATTERNS: readonly (readonly [method: string, pattern: RegExp, route: Route])[] = [
  ['GET', /^\/v1\/responses\/([^/]+)$/, info(retrieveResponse)],
  ['POST', /^\/v1\/responses\/([^/]+)\/cancel$/, info(cancelResponse)],
  ['GET', /^\/v1\/responses\/([^/]+)\/input_items$/, info(inputItems)],
];

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

/** What the server was started without is not there. */
export function findRoute(
  method: string,
  path: string,
  { messagesApi }: Pick<SimSettings, 'messagesApi'>,
): FoundRoute {
  if (!messagesApi && path.startsWith(MESSAGES_PATH)) return NONE;
  const fixed = FIXED.get(`${method} ${path}`);
  if (fixed) return fixed;
  for (const [patternMethod, pattern, route] of PATTERNS) {
    const match = patternMethod === method ? pattern.exec(path) : null;
    if (match) return { kind: 'route', route, pathId: decoded(match[1] ?? '') };
  }
  return PATHS.has(path) ? { kind: 'method' } : NONE;
}

/** What is no valid encoding is taken as it is: it names nothing anyway. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
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
    const problem = control.missing(parsed.fault);
    if (problem !== undefined) throw badRequest(problem, 'faults');
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
  exchange.reply.json('{"version":"0.32.0+sim"}');
}

function load(sim: SimState, exchange: Exchange): void {
  exchange.reply.json(`{"server_load":${sim.inFlight}}`);
}

/** SageMaker's one door: the body says which API is meant. */
function invocations(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  if (body['messages'] !== undefined) chatCompletions(sim, exchange);
  else if (body['prompt'] !== undefined) completions(sim, exchange);
  else embeddings(sim, exchange);
}
