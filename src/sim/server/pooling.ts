import { badRequest } from './api-error.ts';
import { fieldsOf, type Exchange } from './exchange.ts';
import { arrayField, integerField, isFields, stringField, stringsField, type Fields } from './fields.ts';
import { embed, prefill, similarity } from '../engine/prefill.ts';
import { contentText, promptList } from './prompt.ts';
import type { SimState } from './sim-state.ts';
import { textHash } from '../engine/tokens.ts';

const MAX_DIMENSIONS = 16_384;

/** POST /v1/embeddings: text or tokens, one or many; floats or base64 of little-endian 32-bit floats. */
export function embeddings(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const texts = inputsOf(body);
  const dimensions = dimensionsOf(sim, body);
  const base64 = stringField(body, 'encoding_format') === 'base64';
  prefill(sim, exchange, body, texts, (promptTokens) => {
    const data = texts.map((text, index) => {
      const vector = embed(text, dimensions);
      return { index, object: 'embedding', embedding: base64 ? base64Of(vector) : Array.from(vector) };
    });
    exchange.reply.json(
      JSON.stringify({ ...listOf(sim, exchange, body, 'embd'), data, usage: usage(promptTokens) }),
    );
  });
}

/** POST /v2/embed, Cohere's shape. */
export function cohereEmbed(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const texts = stringsField(body, 'texts');
  if (texts.length === 0) throw badRequest('texts: expected at least one text', 'texts');
  const dimensions = dimensionsOf(sim, body);
  prefill(sim, exchange, body, texts, (promptTokens) => {
    const float = texts.map((text) => Array.from(embed(text, dimensions)));
    const meta = { api_version: { version: '2' }, billed_units: { input_tokens: promptTokens } };
    exchange.reply.json(
      JSON.stringify({ id: `embd-${sim.requestId(exchange, body)}`, embeddings: { float }, texts, meta }),
    );
  });
}

/** POST /pooling: like embeddings, raw. */
export function pooling(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const texts = inputsOf(body);
  prefill(sim, exchange, body, texts, (promptTokens) => {
    const data = texts.map((text, index) => ({
      index,
      object: 'pooling',
      data: Array.from(embed(text, sim.settings.embeddingDimensions)),
    }));
    exchange.reply.json(
      JSON.stringify({ ...listOf(sim, exchange, body, 'pool'), data, usage: usage(promptTokens) }),
    );
  });
}

/** POST /classify: two classes, drawn from the text. */
export function classify(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const texts = inputsOf(body);
  prefill(sim, exchange, body, texts, (promptTokens) => {
    const data = texts.map((text, index) => {
      const chance = textHash(String(text)) / 2 ** 32;
      const label = chance > 0.5 ? 'positive' : 'negative';
      return { index, label, probs: [1 - chance, chance], num_classes: 2 };
    });
    exchange.reply.json(
      JSON.stringify({ ...listOf(sim, exchange, body, 'classify'), data, usage: usage(promptTokens) }),
    );
  });
}

/** POST /score and /v1/score: one text (or as many) against others. */
export function score(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const left = textsOf(body['text_1'] ?? body['queries'], 'text_1');
  const right = textsOf(body['text_2'] ?? body['documents'], 'text_2');
  if (left.length !== 1 && left.length !== right.length) {
    throw badRequest('text_1: expected one text or as many as text_2', 'text_1');
  }
  const pairs = right.map((text, i) => [left[left.length === 1 ? 0 : i] ?? '', text] as const);
  prefill(
    sim,
    exchange,
    body,
    pairs.map(([a, b]) => `${a}\n${b}`),
    (promptTokens) => {
      const data = pairs.map(([a, b], index) => ({ index, object: 'score', score: scoreOf(sim, a, b) }));
      exchange.reply.json(
        JSON.stringify({ ...listOf(sim, exchange, body, 'score'), data, usage: usage(promptTokens) }),
      );
    },
  );
}

/** POST /rerank, /v1/rerank, /v2/rerank: documents by how near they are to the query. */
export function rerank(sim: SimState, exchange: Exchange): void {
  const body = fieldsOf(exchange);
  const query = stringField(body, 'query');
  if (query === undefined) throw badRequest('query: expected a string', 'query');
  const documents = textsOf(body['documents'], 'documents');
  const top = integerField(body, 'top_n', 0) ?? documents.length;
  prefill(
    sim,
    exchange,
    body,
    documents.map((text) => `${query}\n${text}`),
    (promptTokens) => {
      const results = documents
        .map((text, index) => ({ index, document: { text }, relevance_score: scoreOf(sim, query, text) }))
        .sort((a, b) => b.relevance_score - a.relevance_score)
        .slice(0, top === 0 ? documents.length : top);
      const id = `rerank-${sim.requestId(exchange, body)}`;
      exchange.reply.json(
        JSON.stringify({ id, model: sim.modelOf(body), usage: usage(promptTokens), results }),
      );
    },
  );
}

function scoreOf(sim: SimState, a: string, b: string): number {
  return similarity(embed(a, sim.settings.embeddingDimensions), embed(b, sim.settings.embeddingDimensions));
}

/** `input`, or chat `messages` as one text. */
function inputsOf(body: Fields): readonly (string | readonly number[])[] {
  const messages = arrayField(body, 'messages');
  if (!messages) return promptList(body['input'], 'input');
  return [messages.map((message) => (isFields(message) ? contentText(message['content']) : '')).join('\n')];
}

function textsOf(value: unknown, name: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const texts = list.map((item) => (isFields(item) ? contentText(item['text'] ?? item['content']) : item));
  return texts.map((text) => {
    if (typeof text !== 'string') throw badRequest(`${name}: expected texts`, name);
    return text;
  });
}

function dimensionsOf(sim: SimState, body: Fields): number {
  const dimensions = integerField(body, 'dimensions', 1) ?? sim.settings.embeddingDimensions;
  if (dimensions > MAX_DIMENSIONS)
    throw badRequest(`dimensions: expected at most ${MAX_DIMENSIONS}`, 'dimensions');
  return dimensions;
}

/** Base64 of little-endian floats, whatever this machine's order. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString('base64');
}

function listOf(sim: SimState, exchange: Exchange, body: Fields, prefix: string): object {
  const id = `${prefix}-${sim.requestId(exchange, body)}`;
  return { id, object: 'list', created: sim.unixSeconds(), model: sim.modelOf(body) };
}

function usage(promptTokens: number): object {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens,
    completion_tokens: 0,
    prompt_tokens_details: null,
  };
}
