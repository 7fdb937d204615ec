import { STATUS_CODES } from 'node:http';
import { replaceMember } from '../../api/json-edit.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { readBoolean } from '../../api/python-json.ts';
import type { AnswerShape } from '../../response-cache/replay/answer-shape.ts';
import type { StoredAnswer } from '../../response-cache/stored-answer.ts';
import { addRouterHeaders, corsOf } from '../answer/response-headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';

/** A longer one is not taken apart into events, which holds everybody up: its request goes to a worker. */
const LONGEST_TOLD_BYTES = 1024 * 1024;

/** What goes to the client. */
export interface Replay {
  readonly contentType: string;
  readonly body: Buffer;
  readonly isStream: boolean;
}

/** The stored answer in the form that the request asks for; undefined where it cannot be told like that. */
export function replayOf(
  rt: Runtime,
  { decision }: Arrival,
  call: Call,
  answer: StoredAnswer,
  shape: AnswerShape | undefined,
): Replay | undefined {
  const model = rt.settings.responseModel === 'requested' ? decision.requested_model : undefined;
  if (!call.stream) {
    const body = model === undefined ? undefined : replaceMember(answer.body, 'model', model);
    return { contentType: answer.contentType, body: body ?? answer.body, isStream: false };
  }
  if (!shape || answer.body.length > LONGEST_TOLD_BYTES) return undefined;
  const said = parsed(answer.body);
  const events = said && shape.events(model === undefined ? said : { ...said, model }, wantsUsage(call));
  if (!events) return undefined;
  const lines = events.map((event) => `data: ${JSON.stringify(event)}\n\n`);
  const body = Buffer.from(`${lines.join('')}data: [DONE]\n\n`);
  return { contentType: 'text/event-stream; charset=utf-8', body, isStream: true };
}

/** Sends it. Resolves when it has left, or the client has. */
export function sendReplay(
  rt: Runtime,
  arrival: Arrival,
  answer: StoredAnswer,
  replay: Replay,
): Promise<void> {
  const { res, decision, times } = arrival;
  if (arrival.client.gone || res.closed) return Promise.resolve();
  times.head = rt.clock.now();
  decision.status = 200;
  decision.response_bytes = replay.body.length;
  const age = Math.max(0, Math.floor((rt.clock.wall() - answer.createdAt) / 1000));
  const headers = ['content-type', replay.contentType, 'age', String(age)];
  if (replay.isStream) headers.push('x-accel-buffering', 'no');
  else headers.push('content-length', String(replay.body.length));
  headers.push(...corsOf(rt, arrival));
  addRouterHeaders(rt, arrival, headers, times.head);
  return new Promise((resolve) => {
    res.onClosed(resolve);
    res.writeHead(200, STATUS_CODES[200] ?? '', headers);
    res.end(replay.body);
  });
}

function wantsUsage(call: Call): boolean {
  const { stream_options: options } = call.ask.said().values;
  return isObject(options) && readBoolean(options['include_usage']) === true && call.swallowUsage !== true;
}

function parsed(body: Buffer): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
