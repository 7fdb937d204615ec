import type { JsonObject } from '../../api/prompt-sink.ts';
import type { AnswerShape, Assembler } from './answer-shape.ts';
import { listOf, only, said } from './members.ts';

/** What an answer and each of its events consist of. */
const HEAD = ['id', 'object', 'created', 'model', 'choices', 'usage', 'system_fingerprint', 'service_tier'];

/** Answers that are a list of choices, each of which ends with a reason: what one kind of them has of its own. */
export interface ChoiceKind<Choice> {
  /** The `object` of an answer in one piece, and of an event. */
  readonly whole: string;
  readonly event: string;
  /** The choices of the events that say what one of the answer says; undefined where none are known for something in it. */
  parts(choice: unknown): readonly JsonObject[] | undefined;
  /** The members of a choice in an event, beside `index`, `finish_reason` and `stop_reason`. */
  readonly members: readonly string[];
  begin(): Choice;
  /** What an event adds to a choice; false: it has no place there. */
  add(choice: Choice, part: JsonObject): boolean;
  /** The choice in one piece, without what all of them have. */
  tell(choice: Choice): JsonObject;
}

export function shapeOf<Choice>(kind: ChoiceKind<Choice>): AnswerShape {
  return {
    events: (answer, includeUsage) => eventsOf(kind, answer, includeUsage),
    assembler: () => new ChoicesAssembler(kind),
  };
}

function eventsOf<Choice>(
  kind: ChoiceKind<Choice>,
  answer: JsonObject,
  includeUsage: boolean,
): readonly JsonObject[] | undefined {
  const whole = only(answer, HEAD);
  const choices = listOf(whole?.['choices']);
  if (!whole || !choices) return undefined;
  const { id, created, model, usage, system_fingerprint: fingerprint } = whole;
  const head = { id, object: kind.event, created, model };
  const events: JsonObject[] = [];
  for (const choice of choices) {
    const parts = kind.parts(choice);
    if (!parts) return undefined;
    for (const part of parts) events.push({ ...head, choices: [part] });
  }
  if (includeUsage)
    events.push({ ...head, choices: [], usage, ...said({ system_fingerprint: fingerprint }) });
  return events;
}

interface Begun<Choice> {
  readonly choice: Choice;
  finishReason: unknown;
  stopReason: unknown;
}

class ChoicesAssembler<Choice> implements Assembler {
  readonly #kind: ChoiceKind<Choice>;
  readonly #known: readonly string[];
  readonly #head: Record<string, unknown> = {};
  readonly #choices = new Map<number, Begun<Choice>>();

  constructor(kind: ChoiceKind<Choice>) {
    this.#kind = kind;
    this.#known = ['index', 'finish_reason', 'stop_reason', ...kind.members];
  }

  add(event: JsonObject): boolean {
    const known = only(event, HEAD);
    const choices = listOf(known?.['choices']);
    if (!known || !choices) return false;
    Object.assign(this.#head, said(known));
    return choices.every((choice) => this.#addTo(choice));
  }

  answer(): JsonObject | undefined {
    const choices = [...this.#choices].toSorted(([left], [right]) => left - right);
    const isWhole = choices.every(([, { finishReason }]) => typeof finishReason === 'string');
    const { id, created, model, usage, service_tier: tier, system_fingerprint: fingerprint } = this.#head;
    if (!isWhole || choices.length === 0 || usage === undefined) return undefined;
    return {
      ...{ id, object: this.#kind.whole, created, model },
      choices: choices.map(([index, { choice, finishReason, stopReason }]) => ({
        index,
        ...this.#kind.tell(choice),
        finish_reason: finishReason,
        stop_reason: stopReason ?? null,
      })),
      service_tier: tier ?? null,
      system_fingerprint: fingerprint ?? null,
      usage,
    };
  }

  #addTo(value: unknown): boolean {
    const part = only(value, this.#known);
    const index = part?.['index'];
    if (!part || typeof index !== 'number') return false;
    let begun = this.#choices.get(index);
    if (!begun) {
      begun = { choice: this.#kind.begin(), finishReason: undefined, stopReason: undefined };
      this.#choices.set(index, begun);
    }
    begun.finishReason ??= part['finish_reason'];
    begun.stopReason ??= part['stop_reason'];
    return this.#kind.add(begun.choice, part);
  }
}
