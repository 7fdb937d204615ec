import { badRequest } from '../server/api-error.ts';
import type { Exchange } from '../server/exchange.ts';
import type { Fields } from '../server/fields.ts';
import { cachedAs, generate, scopeOf } from './generation.ts';
import type { Planned } from '../server/output.ts';
import { appendPrompt } from '../server/prompt.ts';
import type { SimState } from '../server/sim-state.ts';
import { scramble, textHash } from './tokens.ts';

/** Work without output (embeddings, scores, classes): each text costs its prefill and is cached like any prompt. */
export function prefill(
  sim: SimState,
  exchange: Exchange,
  body: Fields,
  texts: readonly (string | readonly number[])[],
  done: (promptTokens: number) => void,
): void {
  const scope = scopeOf(sim, sim.modelOf(body), body);
  const { maxModelLen } = sim.settings.model;
  let promptTokens = 0;
  const planned = texts.map((text): Planned => {
    sim.tokens.clear();
    appendPrompt(sim.tokens, text);
    if (sim.tokens.length === 0) throw badRequest('The input is empty.', 'input');
    if (sim.tokens.length > maxModelLen) {
      throw badRequest(`This model's maximum context length is ${maxModelLen} tokens.`, 'input');
    }
    promptTokens += sim.tokens.length;
    const output = { ids: [], pieces: [], finishReason: 'stop', stopReason: null } as const;
    const { length } = sim.tokens;
    return { promptTokens: length, promptIds: undefined, output, choice: 0, ...cachedAs(sim, scope) };
  });
  generate(exchange, sim.engineFor(exchange), planned, {
    onAllDone: () => {
      done(promptTokens);
    },
  });
}

const FEATURES_PER_WORD = 8;

/** A unit vector made of the words (or token ids): texts that share words are near each other. */
export function embed(text: string | readonly number[], dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  const words =
    typeof text === 'string'
      ? (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [text]).map(textHash)
      : text.map(scramble);
  for (const word of words) {
    for (let i = 0, state = word; i < FEATURES_PER_WORD; i++) {
      state = scramble(state + i + 1);
      const at = state % dimensions;
      vector[at] = (vector[at] ?? 0) + (state & 0x40000000 ? 1 : -1);
    }
  }
  const length = Math.hypot(...vector);
  if (length === 0) vector[0] = 1;
  else for (let i = 0; i < dimensions; i++) vector[i] = (vector[i] ?? 0) / length;
  return vector;
}

export function similarity(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return Math.max(0, Math.min(1, sum));
}
