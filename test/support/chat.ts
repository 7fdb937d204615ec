import type { Fleet } from './fleet.ts';

/** A chat request that every simulated worker can answer. */
export const CHAT = {
  model: 'sim-model',
  messages: [{ role: 'user', content: 'Tell me about routers.' }],
  max_tokens: 4,
};

/** Posts JSON to the router. */
export function post(
  fleet: Pick<Fleet, 'url'>,
  path: string,
  body: object,
  init: RequestInit = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('content-type', 'application/json');
  return fetch(fleet.url + path, { method: 'POST', body: JSON.stringify(body), ...init, headers });
}

/** A chat in one piece; `fields` replace those of `CHAT`. */
export function chat(fleet: Pick<Fleet, 'url'>, fields: object = {}, init?: RequestInit): Promise<Response> {
  return post(fleet, '/v1/chat/completions', { ...CHAT, ...fields }, init);
}

/** A chat answered as server-sent events. */
export function streamChat(
  fleet: Pick<Fleet, 'url'>,
  fields: object = {},
  init?: RequestInit,
): Promise<Response> {
  return chat(fleet, { stream: true, ...fields }, init);
}

/** What a body brought until it ended or broke. */
export interface ReadBody {
  readonly text: string;
  /** Whether it ended as HTTP says it should. */
  readonly whole: boolean;
}

/** Reads a body whose end may be missing. */
export async function readBody(response: Response): Promise<ReadBody> {
  let text = '';
  try {
    for await (const piece of pieces(response)) text += piece;
    return { text, whole: true };
  } catch {
    return { text, whole: false };
  }
}

/** The body as it arrives. */
export async function* pieces(response: Response): AsyncGenerator<string, undefined> {
  if (!response.body) return;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) yield piece;
}

/** The URL of the worker that the answer came from. */
export function workerOf(response: Response): string | null {
  return response.headers.get('x-vllm-router-worker');
}
