import type { JsonObject } from '../../api/prompt-sink.ts';

/** The two forms of one kind of answer: in one piece, and as the events of a stream. */
export interface AnswerShape {
  /**
   * The events that say what the answer says, in the order and with the members of vLLM's, without `[DONE]`; undefined
   * where there is something in it that no event is known for.
   */
  events(answer: JsonObject, includeUsage: boolean): readonly JsonObject[] | undefined;
  assembler(): Assembler;
}

/** Puts the events of a stream together. */
export interface Assembler {
  /** false: there is something in it that has no place in an answer in one piece. */
  add(event: JsonObject): boolean;
  /** undefined where something is missing: an end of one of the choices, or the usage. */
  answer(): JsonObject | undefined;
}
