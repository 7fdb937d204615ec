import { decodeAnswer, type StoredAnswer } from '../../response-cache/stored-answer.ts';
import { semanticQuestion } from '../../response-cache/semantic/semantic-question.ts';
import type { UnitVector } from '../../semantic/unit-vector.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { comparedBy, vectorFor } from '../choose/embed-text.ts';
import { roundSimilarity } from '../choose/know-cluster.ts';
import { lookUp } from '../choose/look-up.ts';
import type { AnswersByMeaning, Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { orAborted } from '../understand/while-wanted.ts';

interface Asking {
  readonly rt: Runtime;
  readonly arrival: Arrival;
  readonly call: Call;
  readonly deadline: Deadline;
  /** Whose answers the caller may have. */
  readonly scope: string;
  /** What is asked, beside the body. */
  readonly target: string;
  readonly maxAgeMs: number;
  readonly note: (spentMs: number) => void;
}

export interface ByMeaning {
  /** What was answered to somebody who asked the same in other words. */
  readonly found: { readonly answer: StoredAnswer; readonly similarity: number } | undefined;
  /** Keeps the answer of the worker for those who ask the same in other words; undefined where it cannot be found again. */
  readonly keep: ((value: Buffer) => void) | undefined;
}

const NOTHING: ByMeaning = { found: undefined, keep: undefined };

/** Looks for an answer to what means the same; undefined where none may be looked for. */
export function answerByMeaning(asking: Asking): Promise<ByMeaning> | undefined {
  const { rt, arrival, call, scope, target } = asking;
  const { cache: settings } = rt.settings.semantic;
  const { answersByMeaning: byMeaning } = rt;
  const { body } = call;
  if (!settings || !byMeaning || !Buffer.isBuffer(body)) return undefined;
  // A list of numbers or of documents has no meaning that could be as good as another one's.
  if (arrival.endpoint.tokens !== 'prompt_and_answer') return undefined;
  const question = semanticQuestion(
    { target, model: arrival.decision.model ?? '', scope, body },
    call.ask.said().values,
    comparedBy(rt.settings),
  );
  const unasked = rt.metrics.semanticCacheUnaskedTotal;
  if (!question) {
    unasked.with('no_text').inc();
    return undefined;
  }
  const { partition, text } = question;
  if (text.length > settings.maxChars) {
    unasked.with('too_long').inc();
    return undefined;
  }
  return lookUp(rt, asking, asking.note, async (signal) => {
    const vector = await vectorFor(rt, call, text, signal);
    if (vector) return look(asking, byMeaning, { partition, vector, signal });
    if (!signal.aborted) unasked.with('no_vector').inc();
    return NOTHING;
  });
}

async function look(
  { rt, maxAgeMs }: Asking,
  { answers }: AnswersByMeaning,
  { partition, vector, signal }: Looked,
): Promise<ByMeaning> {
  const keep = (value: Buffer): void => {
    answers.keep(partition, vector, value);
  };
  const hit = await orAborted(signal, answers.find(partition, vector), undefined);
  const answer = hit && decodeAnswer(hit.value);
  if (hit && !answer) rt.metrics.cacheRejectedTotal.with('unreadable').inc();
  if (!answer || rt.clock.wall() - answer.createdAt > maxAgeMs) return { found: undefined, keep };
  return { found: { answer, similarity: roundSimilarity(hit.similarity) }, keep };
}

interface Looked {
  readonly partition: string;
  readonly vector: UnitVector;
  readonly signal: AbortSignal;
}
