import { isObject } from '../../api/prompt-sink.ts';
import type { EngineState } from '../../workers/worker.ts';
import type { Collected } from '../collect.ts';

const QUESTIONS = [
  { path: '/is_sleeping', field: 'is_sleeping', state: 'sleeping' },
  { path: '/is_paused', field: 'is_paused', state: 'paused' },
] as const;

/** Asks one server whether its engine sleeps, or is paused; what it does not offer it is not asked again. */
export class EngineStateQuestions {
  #offered: readonly (typeof QUESTIONS)[number][] = QUESTIONS;

  /** All of them again: another server may be there by now. */
  reset(): void {
    this.#offered = QUESTIONS;
  }

  /** vLLM has these routes in development mode only; no clear answer means that it runs. */
  async ask(get: (path: string) => Promise<Collected>): Promise<EngineState> {
    const answers = await Promise.all(
      this.#offered.map(async (question) => ({ question, answer: await get(question.path) })),
    );
    this.#offered = answers.filter(({ answer }) => !isMissing(answer)).map(({ question }) => question);
    const yes = answers.find(({ question, answer }) => isYes(answer, question.field));
    return yes?.question.state ?? 'running';
  }
}

function isMissing(answer: Collected): boolean {
  return answer.kind === 'response' && (answer.status === 404 || answer.status === 405);
}

function isYes(answer: Collected, field: string): boolean {
  if (answer.kind === 'failed' || answer.status !== 200) return false;
  try {
    const body: unknown = JSON.parse(answer.body.toString('utf8'));
    return isObject(body) && body[field] === true;
  } catch {
    return false;
  }
}
