import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Engine, type EngineOptions, type LoadedModel } from './engine.ts';

/** The name the model is served under. */
export const MODEL = 'tiny';

/** How a generation ended. */
export interface Ended {
  readonly how: 'finished' | 'aborted';
  readonly generatedTokens: number;
}

/** A real engine behind the part of vLLM's HTTP surface that a router needs. */
export interface EngineServer extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  readonly events: EventEmitter<{ ended: [Ended] }>;
}

export async function startEngineServer(loaded: LoadedModel, options: EngineOptions): Promise<EngineServer> {
  const engine = await Engine.create(loaded, options);
  const worker = new EngineHttp(engine);
  await worker.listen();
  return worker;
}

type Body = Readonly<Record<string, unknown>>;

/** A request that has been understood: what to generate, and how to put it into words. */
interface Job {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly chat: boolean;
  readonly id: string;
}

class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

class EngineHttp implements EngineServer {
  readonly engine: Engine;
  readonly events = new EventEmitter<{ ended: [Ended] }>();
  url = '';
  readonly #server: Server;
  #ids = 0;

  constructor(engine: Engine) {
    this.engine = engine;
    this.#server = createServer((request, response) => {
      void this.#serve(request, response);
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    // The cast is what Node documents for a server that listens on a port.
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    while (this.engine.stats.running > 0) await once(this.events, 'ended');
    await this.engine[Symbol.asyncDispose]();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      await this.#answer(`${request.method} ${request.url}`, Buffer.concat(parts), response);
    } catch (error) {
      if (response.headersSent) {
        response.destroy();
        return;
      }
      // Every other error here is one of the request; vLLM calls them so.
      const message = error instanceof Error ? error.message : String(error);
      sendJson(response, { error: { message, type: 'BadRequestError', param: null, code: 400 } }, 400);
    }
  }

  async #answer(route: string, bytes: Buffer, response: ServerResponse): Promise<void> {
    switch (route) {
      case 'GET /health':
        response.end();
        return;
      case 'GET /version':
        sendJson(response, { version: 'llama.cpp' });
        return;
      case 'GET /v1/models':
        sendJson(response, { object: 'list', data: [this.#card()] });
        return;
      case 'GET /metrics':
        response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8').end(this.#metrics());
        return;
      case 'POST /v1/embeddings':
        sendJson(response, await this.#embeddings(parse(bytes)));
        return;
      case 'POST /v1/chat/completions':
        await this.#generate(this.#job(parse(bytes), true), response);
        return;
      case 'POST /v1/completions':
        await this.#generate(this.#job(parse(bytes), false), response);
        return;
      default:
        sendJson(
          response,
          { error: { message: 'Not Found', type: 'NotFoundError', param: null, code: 404 } },
          404,
        );
    }
  }

  #job(body: Body, chat: boolean): Job {
    const prompt = this.engine.tokenize(chat ? chatText(body['messages']) : promptText(body['prompt']));
    const maxTokens = Number(body['max_completion_tokens'] ?? body['max_tokens'] ?? 16);
    const { contextSize } = this.engine.options;
    if (prompt.length + maxTokens > contextSize) {
      throw new BadRequest(
        `This model's maximum context length is ${contextSize} tokens. However, you requested ` +
          `${prompt.length + maxTokens} tokens (${prompt.length} in the messages, ${maxTokens} in the completion).`,
      );
    }
    const options = body['stream_options'];
    const includeUsage = isObject(options) && options['include_usage'] === true;
    const id = `${chat ? 'chatcmpl' : 'cmpl'}-${++this.#ids}`;
    return { prompt, maxTokens, stream: body['stream'] === true, includeUsage, chat, id };
  }

  async #generate(job: Job, response: ServerResponse): Promise<void> {
    const controller = new AbortController();
    response.on('close', () => controller.abort());
    const send = (fields: object): void => {
      response.write(`data: ${JSON.stringify({ ...envelope(job), ...fields })}\n\n`);
    };
    let cachedTokens = 0;
    let said = '';
    // Like vLLM: the head of a stream goes before the prefill.
    if (job.stream) response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    const generatedTokens = await this.engine.generate({
      prompt: job.prompt,
      maxTokens: job.maxTokens,
      signal: controller.signal,
      onStart: (cached) => {
        cachedTokens = cached;
        if (job.stream && job.chat)
          send({ choices: [choice(job, { role: 'assistant', content: '' }, null)] });
      },
      onText: (text) => {
        said += text;
        if (job.stream) send({ choices: [choice(job, text, null)] });
      },
    });
    this.events.emit('ended', { how: controller.signal.aborted ? 'aborted' : 'finished', generatedTokens });
    const usage = usageOf(job.prompt.length, generatedTokens, cachedTokens);
    if (!job.stream) {
      sendJson(response, { ...envelope(job), choices: [choice(job, said, 'length')], usage });
      return;
    }
    send({ choices: [choice(job, '', 'length')] });
    if (job.includeUsage) send({ choices: [], usage });
    response.end('data: [DONE]\n\n');
  }

  async #embeddings(body: Body): Promise<object> {
    const { input } = body;
    const texts = Array.isArray(input) ? input.map(promptText) : [promptText(input)];
    const data: object[] = [];
    let promptTokens = 0;
    for (const [index, text] of texts.entries()) {
      const tokens = this.engine.tokenize(text);
      promptTokens += tokens.length;
      const vector = await this.engine.embed(tokens);
      const base64 = body['encoding_format'] === 'base64';
      const embedding = base64 ? Buffer.from(Float32Array.from(vector).buffer).toString('base64') : vector;
      data.push({ object: 'embedding', index, embedding });
    }
    const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
    return { object: 'list', model: MODEL, data, usage };
  }

  #card(): object {
    const { contextSize } = this.engine.options;
    return {
      id: MODEL,
      object: 'model',
      created: 0,
      owned_by: 'llama.cpp',
      root: MODEL,
      max_model_len: contextSize,
    };
  }

  #metrics(): string {
    const { stats, waiting, options } = this.engine;
    const series: readonly (readonly [name: string, type: string, value: number])[] = [
      ['num_requests_running', 'gauge', stats.running],
      ['num_requests_waiting', 'gauge', waiting],
      ['kv_cache_usage_perc', 'gauge', stats.running / options.sequences],
      ['prompt_tokens_total', 'counter', stats.promptTokens],
      ['generation_tokens_total', 'counter', stats.generatedTokens],
      ['prefix_cache_queries_total', 'counter', stats.promptTokens],
      ['prefix_cache_hits_total', 'counter', stats.cachedTokens],
    ];
    return series
      .map(([name, type, value]) => {
        const family = name.replace(/_total$/, '');
        return `# TYPE vllm:${family} ${type}\nvllm:${name}{engine="0",model_name="${MODEL}"} ${value}\n`;
      })
      .join('');
  }
}

function sendJson(response: ServerResponse, value: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null;
}

function parse(bytes: Buffer): Body {
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  if (isObject(value)) return value;
  throw new BadRequest('expected a JSON object');
}

function promptText(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new BadRequest('expected a text');
}

/** Each message ends in a line break, which no token reaches across: a longer chat begins with the tokens of a shorter. */
function chatText(messages: unknown): string {
  if (!Array.isArray(messages)) throw new BadRequest('messages: expected a list');
  const said = messages.filter(isObject).map(({ role, content }) => `${String(role)}: ${String(content)}\n`);
  return `${said.join('')}assistant:`;
}

function envelope({ id, chat, stream }: Job): object {
  const kind = chat ? `chat.completion${stream ? '.chunk' : ''}` : 'text_completion';
  return { id, object: kind, created: 0, model: MODEL };
}

function choice({ chat, stream }: Job, said: string | object, finishReason: string | null): object {
  const end = { index: 0, logprobs: null, finish_reason: finishReason };
  if (!chat) return { ...end, text: said };
  const message = typeof said === 'string' ? { content: said } : said;
  return stream ? { ...end, delta: message } : { ...end, message: { role: 'assistant', ...message } };
}

function usageOf(promptTokens: number, completionTokens: number, cachedTokens: number): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
