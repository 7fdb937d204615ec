import { isObject, type JsonObject } from '../../src/api/prompt-sink.ts';
import { readLines } from './event-lines.ts';
import { MODEL } from './vllm-server.ts';

/** One of vLLM's APIs: how a prompt is said in it, and where its answer is. */
export interface Api {
  readonly path: string;
  body(prompt: string, maxTokens: number): JsonObject;
  /** What was generated, of an answer in one piece or of one event. */
  text(answer: JsonObject): string;
  /** Undefined where it does not say. */
  cachedTokens(answer: JsonObject): number | undefined;
}

/** Members behind each other; undefined where one of them is missing. */
function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((of, key) => {
    if (Array.isArray(of)) return (of as readonly unknown[])[Number(key)];
    return isObject(of) ? of[key] : undefined;
  }, value);
}

const numberAt = (value: unknown, ...path: readonly (string | number)[]): number | undefined => {
  const found = at(value, ...path);
  return typeof found === 'number' ? found : undefined;
};
const textAt = (value: unknown, ...path: readonly (string | number)[]): string => {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : '';
};

const openAiCached = (answer: JsonObject): number | undefined =>
  numberAt(answer, 'usage', 'prompt_tokens_details', 'cached_tokens');

export const APIS: readonly Api[] = [
  {
    path: '/v1/chat/completions',
    body: (content, max_tokens) => ({ messages: [{ role: 'user', content }], max_tokens }),
    text: (answer) =>
      textAt(answer, 'choices', 0, 'message', 'content') + textAt(answer, 'choices', 0, 'delta', 'content'),
    cachedTokens: openAiCached,
  },
  {
    path: '/v1/completions',
    body: (prompt, max_tokens) => ({ prompt, max_tokens }),
    text: (answer) => textAt(answer, 'choices', 0, 'text'),
    cachedTokens: openAiCached,
  },
  {
    path: '/v1/responses',
    body: (input, max_output_tokens) => ({ input, max_output_tokens, store: false }),
    text: (answer) =>
      textAt(answer, 'output', 0, 'content', 0, 'text') +
      (answer['type'] === 'response.output_text.delta' ? textAt(answer, 'delta') : ''),
    cachedTokens: (answer) =>
      numberAt(answer, 'usage', 'input_tokens_details', 'cached_tokens') ??
      numberAt(answer, 'response', 'usage', 'input_tokens_details', 'cached_tokens'),
  },
  {
    path: '/v1/messages',
    body: (content, max_tokens) => ({ messages: [{ role: 'user', content }], max_tokens }),
    text: (answer) => textAt(answer, 'content', 0, 'text') + textAt(answer, 'delta', 'text'),
    cachedTokens: (answer) => numberAt(answer, 'usage', 'cache_read_input_tokens'),
  },
  {
    path: '/inference/v1/generate',
    // Ids that any prompt has as many of as it has characters.
    body: (prompt, max_tokens) => ({
      token_ids: [...prompt].map((character, place) => 100 + ((character.charCodeAt(0) * 31 + place) % 3000)),
      sampling_params: { max_tokens, temperature: 0, seed: 1 },
    }),
    // How many of them come in one event is chance.
    text: (answer) => {
      const ids = at(answer, 'choices', 0, 'token_ids');
      return Array.isArray(ids) ? ids.map((id) => `${String(id)} `).join('') : '';
    },
    cachedTokens: openAiCached,
  },
];

export interface Told {
  readonly status: number;
  readonly text: string;
  /** The last that was told. */
  readonly cachedTokens: number | undefined;
  /** Everything, as it came. */
  readonly raw: string;
  readonly requestId: string;
}

/** Asks for the likeliest answer, and reads all of it. */
export async function tell(
  url: string,
  api: Api,
  prompt: string,
  { stream, maxTokens = 12, signal }: { stream: boolean; maxTokens?: number; signal?: AbortSignal },
): Promise<Told> {
  const sampling = api.path === '/inference/v1/generate' ? {} : { temperature: 0 };
  const usage = stream && /completions$/.test(api.path) ? { stream_options: { include_usage: true } } : {};
  const body = { model: MODEL, ...api.body(prompt, maxTokens), ...sampling, stream, ...usage };
  const response = await fetch(`${url}${api.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
  const raw = await response.text();
  const parts = stream && response.status === 200 ? readLines(raw) : [JSON.parse(raw) as JsonObject];
  return {
    ...{ status: response.status, raw, text: parts.map((part) => api.text(part)).join('') },
    cachedTokens: parts.map((part) => api.cachedTokens(part)).findLast((tokens) => tokens !== undefined),
    requestId: response.headers.get('x-request-id') ?? '',
  };
}
