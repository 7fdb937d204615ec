import type { JsonObject } from '../../api/prompt-sink.ts';
import { HEAD, type AnswerShape, type Assembler } from './answer-shape.ts';
import { areTexts, listOf, only, said, textOf } from './members.ts';

const CHOICE = ['index', 'text', 'logprobs', 'finish_reason', 'stop_reason'];
const LOGPROBS = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const;

/** `/v1/completions`, as vLLM 0.32 answers it. */
export const completionShape: AnswerShape = {
  events(answer, includeUsage) {
    const whole = only(answer, HEAD);
    const choices = listOf(whole?.['choices'])?.map((choice) => only(choice, CHOICE));
    if (!whole || !choices) return undefined;
    const { id, created, model, usage, system_fingerprint: fingerprint } = whole;
    const head = { id, object: 'text_completion', created, model };
    const events: JsonObject[] = [];
    for (const choice of choices) {
      if (!choice || !areTexts(choice, ['text'])) return undefined;
      const { index, text, logprobs = null, finish_reason: reason, stop_reason: stop = null } = choice;
      events.push({
        ...head,
        choices: [{ index, text, logprobs, finish_reason: reason, stop_reason: stop }],
      });
    }
    if (includeUsage)
      events.push({ ...head, choices: [], usage, ...said({ system_fingerprint: fingerprint }) });
    return events;
  },
  assembler: () => new CompletionAssembler(),
};

interface Choice {
  readonly texts: string[];
  readonly logprobs: Map<string, unknown[]>;
  finishReason: unknown;
  stopReason: unknown;
}

class CompletionAssembler implements Assembler {
  #head: JsonObject | undefined;
  #usage: unknown;
  readonly #choices = new Map<number, Choice>();

  add(event: JsonObject): boolean {
    const known = only(event, HEAD);
    const choices = listOf(known?.['choices']);
    if (!known || !choices) return false;
    this.#head = { ...this.#head, ...said(known) };
    this.#usage = known['usage'] ?? this.#usage;
    return choices.every((choice) => this.#addTo(choice));
  }

  #addTo(value: unknown): boolean {
    const known = only(value, CHOICE);
    const index = known?.['index'];
    if (!known || !areTexts(known, ['text']) || typeof index !== 'number') return false;
    let choice = this.#choices.get(index);
    if (!choice) {
      choice = { texts: [], logprobs: new Map(), finishReason: undefined, stopReason: undefined };
      this.#choices.set(index, choice);
    }
    const text = textOf(known['text']);
    if (text !== '') choice.texts.push(text);
    choice.finishReason ??= known['finish_reason'];
    choice.stopReason ??= known['stop_reason'];
    return addLogprobs(choice, known['logprobs']);
  }

  answer(): JsonObject | undefined {
    const choices = [...this.#choices].toSorted(([left], [right]) => left - right);
    const isWhole = choices.every(([, { finishReason }]) => typeof finishReason === 'string');
    if (!this.#head || !isWhole || choices.length === 0 || this.#usage === undefined) return undefined;
    const { id, created, model, ...more } = this.#head;
    return {
      ...{ id, object: 'text_completion', created, model },
      choices: choices.map(([index, { texts, logprobs, finishReason, stopReason }]) => ({
        index,
        text: texts.join(''),
        logprobs: logprobs.size > 0 ? Object.fromEntries(logprobs) : null,
        finish_reason: finishReason,
        stop_reason: stopReason ?? null,
      })),
      service_tier: more['service_tier'] ?? null,
      system_fingerprint: more['system_fingerprint'] ?? null,
      usage: this.#usage,
    };
  }
}

function addLogprobs({ logprobs }: Choice, value: unknown): boolean {
  if (value === null || value === undefined) return true;
  const known = only(value, LOGPROBS);
  if (!known) return false;
  for (const name of LOGPROBS) {
    const list = listOf(known[name]);
    if (list) logprobs.set(name, [...(logprobs.get(name) ?? []), ...list]);
  }
  return true;
}
