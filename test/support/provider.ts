import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A request as the provider got it. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface ProviderOptions {
  /** Path of its base URL; default `/api/v1`. */
  readonly base?: string;
  /** What requests must present; default `sk-provider`. */
  readonly key?: string;
  /** The header that it must stand in; default `authorization`. */
  readonly keyHeader?: string;
  readonly models?: readonly string[];
  readonly tls?: ServerOptions;
}

/** Answers one request in its place; true: it has. */
export type Instead = (response: ServerResponse, asked: Asked) => boolean;

/** Somebody else's service with OpenAI's API: as strict as that about what it does not know. */
export interface Provider extends AsyncDisposable {
  /** Its base URL, with the path. */
  readonly url: string;
  readonly port: number;
  /** Everything that came, oldest first, whatever it was answered. */
  readonly asked: readonly Asked[];
  /** The latest one; throws when there is none. */
  readonly last: Asked;
  /** Set by a test that wants another answer than the usual one. */
  instead: Instead | undefined;
  /** Sent with every usual answer. */
  headers: Readonly<Record<string, string>>;
}

/** Request members of OpenAI's own reference, by the last part of the path. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  'chat/completions': [
    ...['model', 'messages', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'n', 'stop'],
    ...['temperature', 'top_p', 'frequency_penalty', 'presence_penalty', 'logit_bias', 'logprobs', 'seed'],
    ...['top_logprobs', 'response_format', 'tools', 'tool_choice', 'parallel_tool_calls', 'user', 'store'],
    ...['metadata', 'reasoning_effort', 'service_tier', 'prediction', 'modalities', 'audio', 'verbosity'],
  ],
  completions: [
    ...['model', 'prompt', 'stream', 'stream_options', 'max_tokens', 'n', 'stop', 'temperature', 'top_p'],
    ...['frequency_penalty', 'presence_penalty', 'logit_bias', 'logprobs', 'seed', 'suffix', 'echo'],
    ...['best_of', 'user'],
  ],
  embeddings: ['model', 'input', 'encoding_format', 'dimensions', 'user'],
  responses: [
    ...['model', 'input', 'stream', 'instructions', 'max_output_tokens', 'previous_response_id', 'store'],
    ...['temperature', 'top_p', 'tools', 'tool_choice', 'reasoning', 'text', 'metadata', 'user'],
  ],
};

/** Headers that say more of a client, the router or its engines than a provider has to know. */
const NEVER =
  /^(cookie|x-(router|admin)-key|x-vllm-.*|x-api-key|x-data-parallel-rank|x-forwarded-.*|x-session-id)$/;

export async function startProvider(options: ProviderOptions = {}): Promise<Provider> {
  const { base = '/api/v1', tls } = options;
  const asked: Asked[] = [];
  const onRequest: RequestListener = (request, response) => {
    void readAll(request).then((body) => {
      const { method = '', url = '', headers } = request;
      const entry = { method, url, headers, body, json: jsonIn(body) };
      asked.push(entry);
      if (provider.instead?.(response, entry) === true) return;
      for (const [name, value] of Object.entries(provider.headers)) response.setHeader(name, value);
      answer(response, entry, { base, ...options });
    });
  };
  const server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const provider: Provider = {
    instead: undefined,
    headers: {},
    url: `${tls ? 'https' : 'http'}://${tls ? 'localhost' : '127.0.0.1'}:${port}${base}`,
    port,
    asked,
    get last(): Asked {
      const last = asked.at(-1);
      if (!last) throw new Error('the provider was not asked');
      return last;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return provider;
}

function answer(
  response: ServerResponse,
  asked: Asked,
  options: ProviderOptions & { base: string },
): boolean {
  const { key = 'sk-provider', keyHeader = 'authorization', base, models = ['gpt-4o-mini'] } = options;
  const expected = keyHeader === 'authorization' ? `Bearer ${key}` : key;
  if (asked.headers[keyHeader] !== expected) return refuse(response, 401, 'Incorrect API key provided');
  const odd = Object.keys(asked.headers).find((name) => NEVER.test(name));
  if (odd !== undefined) return refuse(response, 400, `Unexpected header ${odd}`);
  const { pathname } = new URL(asked.url, 'http://provider');
  if (!pathname.startsWith(`${base}/`)) return refuse(response, 404, `Unknown path ${pathname}`);
  const route = pathname.slice(base.length + 1).replace(/^deployments\/[^/]+\//, '');
  if (route === 'models') return send(response, { object: 'list', data: models.map(card) });
  if (/^responses\/[\w-]+$/.test(route))
    return send(response, { id: route.slice(10), object: 'response', output: [] });
  if (route.startsWith('audio/')) return send(response, { text: 'said' });
  const known = KNOWN[route];
  if (!known) return refuse(response, 404, `Unknown path ${pathname}`);
  const unknown = Object.keys(asked.json).find((name) => !known.includes(name));
  if (unknown !== undefined)
    return refuse(response, 400, `Unrecognized request argument supplied: ${unknown}`);
  return ROUTES[route]?.(response, asked) ?? false;
}

const ROUTES: Readonly<Record<string, (response: ServerResponse, asked: Asked) => boolean>> = {
  'chat/completions': (response, { json }) => {
    const head = { id: 'chatcmpl-1', created: 1, model: json['model'] };
    const usage = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 };
    if (json['stream'] !== true)
      return send(response, {
        ...{ ...head, object: 'chat.completion', usage },
        choices: [
          { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'from outside' } },
        ],
      });
    const piece = (delta: object, finish: string | null): object => ({
      ...{ ...head, object: 'chat.completion.chunk' },
      choices: [{ index: 0, delta, finish_reason: finish }],
    });
    const options = json['stream_options'] as { include_usage?: boolean } | undefined;
    return stream(response, [
      piece({ role: 'assistant', content: 'from ' }, null),
      piece({ content: 'outside' }, null),
      piece({}, 'stop'),
      ...(options?.include_usage === true
        ? [{ ...head, object: 'chat.completion.chunk', choices: [], usage }]
        : []),
    ]);
  },
  completions: (response, { json }) => {
    return send(response, {
      ...{ id: 'cmpl-1', object: 'text_completion', created: 1, model: json['model'] },
      choices: [{ index: 0, text: 'from outside', finish_reason: 'stop', logprobs: null }],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    });
  },
  embeddings: (response, { json }) => {
    return send(response, {
      ...{ object: 'list', model: json['model'] },
      data: [{ object: 'embedding', index: 0, embedding: [0.5, 0.25] }],
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  },
  responses: (response, { json }) => {
    return send(response, {
      ...{
        id: 'resp_outside1',
        object: 'response',
        created_at: 1,
        model: json['model'],
        status: 'completed',
      },
      output: [
        {
          ...{ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed' },
          content: [{ type: 'output_text', text: 'from outside', annotations: [] }],
        },
      ],
      usage: { input_tokens: 5, output_tokens: 2, total_tokens: 7 },
    });
  },
};

function card(id: string): object {
  return { id, object: 'model', created: 1, owned_by: 'provider' };
}

function send(response: ServerResponse, value: unknown): true {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
  return true;
}

function stream(response: ServerResponse, events: readonly object[]): true {
  response.setHeader('content-type', 'text/event-stream');
  for (const event of events) response.write(`data: ${JSON.stringify(event)}\n\n`);
  response.end('data: [DONE]\n\n');
  return true;
}

function refuse(response: ServerResponse, status: number, message: string): true {
  response.statusCode = status;
  return send(response, { error: { message, type: 'invalid_request_error', param: null, code: null } });
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function jsonIn(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(body.toString()) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
