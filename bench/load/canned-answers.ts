/**
 * What the canned workers say, as bytes prepared beforehand: as much of vLLM as a router asks for, and what routers that
 * were made for SGLang ask besides.
 */
import { seededRandom } from '../../src/base/random.ts';

export const MODEL = 'bench-model';

const HEADERS = 'date: Tue, 03 Nov 2026 09:00:00 GMT\r\nserver: uvicorn\r\n';
const EVENT = eventOf({
  id: 'chatcmpl-6f9f4a1be0d24c3f9a1c4be3a84e3d11',
  object: 'chat.completion.chunk',
  created: 1793696400,
  model: MODEL,
  choices: [{ index: 0, delta: { content: ' token' }, logprobs: null, finish_reason: null, token_ids: null }],
});
const DONE = 'data: [DONE]\n\n';
export const STREAM_HEAD = Buffer.from(
  `HTTP/1.1 200 OK\r\n${HEADERS}content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n`,
);
export const STREAM_EVENT = Buffer.from(framed(EVENT));
export const STREAM_END = Buffer.from(`${framed(DONE)}0\r\n\r\n`);
const PARAMS = {
  do_remote_prefill: true,
  do_remote_decode: false,
  remote_block_ids: [Array.from({ length: 30 }, (_, index) => index)],
  remote_engine_id: '7338fc8b-690c-44e2-a91d-2321a7d5926e',
  remote_host: '127.0.0.1',
  remote_port: 5600,
  tp_size: 1,
};
export const CHAT = answer(200, {
  id: 'chatcmpl-6f9f4a1be0d24c3f9a1c4be3a84e3d11',
  object: 'chat.completion',
  created: 1793696400,
  model: MODEL,
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: ' token'.repeat(40) },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 480,
    total_tokens: 520,
    completion_tokens: 40,
    prompt_tokens_details: { cached_tokens: 0 },
  },
  // As of a prefill worker that was asked to keep its blocks; others say null.
  kv_transfer_params: PARAMS,
});
/** By path. */
export const GET_ANSWERS: Readonly<Record<string, Buffer>> = {
  '/health': answer(200, {}),
  '/version': answer(200, { version: '0.32.0' }),
  '/load': answer(200, { server_load: 0 }),
  '/metrics': text(
    ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc']
      .map((name) => `# TYPE vllm:${name} gauge\nvllm:${name}{engine="0",model_name="${MODEL}"} 0.0\n`)
      .join(''),
  ),
  '/get_model_info': answer(200, { model_path: MODEL, tokenizer_path: MODEL, is_generation: true }),
  '/model_info': answer(200, { model_path: MODEL, tokenizer_path: MODEL, is_generation: true }),
  '/get_server_info': answer(200, { model_path: MODEL, served_model_name: MODEL, tp_size: 1, dp_size: 1 }),
  '/server_info': answer(200, { model_path: MODEL, served_model_name: MODEL, tp_size: 1, dp_size: 1 }),
  '/get_load': answer(200, [{ dp_rank: 0, num_reqs: 0, num_waiting_reqs: 0, num_tokens: 0 }]),
  '/v1/models': answer(200, {
    object: 'list',
    data: [
      {
        id: MODEL,
        object: 'model',
        created: 1793696400,
        owned_by: 'vllm',
        root: MODEL,
        max_model_len: 131072,
      },
    ],
  }),
};
export const NOT_FOUND = answer(404, { detail: 'Not Found' });

export const EVENT_BYTES = EVENT.length;
export const CHAT_BYTES = CHAT.length - (CHAT.indexOf('\r\n\r\n') + 4);
/** Of the same as a pair answers: null in the place of where the blocks are. */
export const PAIR_CHAT_BYTES = CHAT_BYTES - JSON.stringify(PARAMS).length + 'null'.length;
export const DONE_BYTES = DONE.length;

/** Bytes of a prompt per token. */
const TOKEN_BYTES = 4.3;
const LENGTH_STEP = 100;
const VOCABULARY = 50_000;
/** Tokens with which the prompts of one application begin, and how many different prompts there are. */
const SHARED_TOKENS = 140;
const PROMPTS = 64;
const PROMPTS_WHEN_LONG = 4;
const LONG_TOKENS = 10_000;

/** By number of tokens: the token ids of some prompts of that length. */
const rendered = new Map<number, readonly Buffer[]>();

/**
 * The token ids of a prompt, which one of the routers asks of its workers before it chooses one: as many as a body of
 * this length has, and others from one time to the next. Reading the body would mean to keep it.
 */
export function renderAnswer(bodyBytes: number, time: number): Buffer {
  const tokens = tokensIn(bodyBytes);
  let answers = rendered.get(tokens);
  if (!answers) {
    answers = Array.from({ length: tokens < LONG_TOKENS ? PROMPTS : PROMPTS_WHEN_LONG }, (_, prompt) =>
      answer(200, {
        request_id: 'chatcmpl-6f9f4a1be0d24c3f9a1c4be3a84e3d11',
        token_ids: tokenIds(tokens, prompt),
        sampling_params: { temperature: 0.7, max_tokens: 256 },
        model: MODEL,
        stream: false,
        priority: 0,
      }),
    );
    rendered.set(tokens, answers);
  }
  return answers[time % answers.length] ?? NOT_FOUND;
}

/** What `/tokenize` says of such a body. */
export function tokenizeAnswer(bodyBytes: number): Buffer {
  const tokens = tokenIds(tokensIn(bodyBytes), 0);
  return answer(200, { count: tokens.length, max_model_len: 131072, tokens, token_strs: null });
}

/** In steps, since each length is prepared for itself. */
function tokensIn(bodyBytes: number): number {
  return LENGTH_STEP * Math.round(bodyBytes / TOKEN_BYTES / LENGTH_STEP);
}

function tokenIds(count: number, prompt: number): number[] {
  const shared = seededRandom(1);
  const own = seededRandom(2 + prompt);
  return Array.from({ length: count }, (_, at) =>
    Math.floor((at < SHARED_TOKENS ? shared() : own()) * VOCABULARY),
  );
}

function answer(status: number, value: unknown): Buffer {
  return response(status, 'application/json', JSON.stringify(value));
}

function text(body: string): Buffer {
  return response(200, 'text/plain; version=0.0.4; charset=utf-8', body);
}

function response(status: number, type: string, body: string): Buffer {
  const reason = status === 200 ? 'OK' : 'Not Found';
  return Buffer.from(
    `HTTP/1.1 ${status} ${reason}\r\n${HEADERS}content-length: ${body.length}\r\ncontent-type: ${type}\r\n\r\n${body}`,
  );
}

function eventOf(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function framed(data: string): string {
  return `${data.length.toString(16)}\r\n${data}\r\n`;
}
