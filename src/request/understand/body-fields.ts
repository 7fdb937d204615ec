import type { JsonObject } from '../../api/prompt-sink.ts';
import { isLong, readFields } from './read-fields.ts';

const NOTHING: JsonObject = {};

/**
 * What a body says. As values that may take some ten times what its bytes do, and only the bytes are accounted: so the
 * values are not kept. They go with the next collection of garbage that finds nobody at work with them, and are read from
 * the bytes again where they are wanted once more, after a wait in the queue for instance.
 */
export class BodyFields {
  /** The first bytes of the members that are not parsed: together they stand for the prompt. */
  rawPrompt: string | undefined;
  #body: Buffer | undefined;
  #values: WeakRef<JsonObject> | undefined;
  /** Those of a long body: few are parsed, and to look for them again would hold up every stream. */
  readonly #kept: { values: JsonObject } | undefined;
  /** As the client named it: a body that names another one instead says the same as before. */
  readonly #model: unknown;

  constructor(body?: Buffer, values = NOTHING, rawPrompt?: string) {
    this.rawPrompt = rawPrompt;
    if (body === undefined) return;
    if (isLong(body)) this.#kept = { values };
    else this.#values = new WeakRef(values);
    this.#body = body;
    this.#model = values['model'];
  }

  values(): JsonObject {
    return this.#kept?.values ?? this.#values?.deref() ?? this.#readAgain();
  }

  /** The same with other bytes, which the router wrote. */
  nowIn(body: Buffer): void {
    this.#body &&= body;
  }

  /** Nothing will be asked any more. */
  letGo(): void {
    if (this.#kept) this.#kept.values = NOTHING;
    this.#values = undefined;
    this.#body = undefined;
    this.rawPrompt = undefined;
  }

  #readAgain(): JsonObject {
    if (this.#body === undefined) return NOTHING;
    const read = readFields(this.#body);
    if (read.problem !== undefined) return NOTHING;
    const values = { ...read.fields, model: this.#model };
    this.#values = new WeakRef(values);
    return values;
  }
}
