import type { Channel, Channels, QuestionKind } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import {
  unknown,
  type Judge,
  type KeyQuestion,
  type KeyVerdicts,
  type Opinion,
  type Verdict,
} from './key-verdicts.ts';

/** Asks one service; never rejects. */
export type AskService = (url: string, key: string, timeoutMs: number) => Promise<Opinion>;

/** To control, which asks for all threads. */
const JUDGE_KEY: QuestionKind<KeyQuestion, Verdict> = { name: 'keys:judge' };

/** All services at once. */
export function byServices(ask: AskService, clock: Clock): Judge {
  return async ({ key, terms }) => {
    const opinion = await firstAcceptance(terms.urls.map((url) => ask(url, key, terms.timeoutMs)));
    if (opinion === 'unavailable' || opinion === 'unasked') return unknown(opinion);
    return { opinion, until: clock.now() + (opinion === 'accepted' ? terms.ttlMs : terms.refusalTtlMs) };
  };
}

/** Beyond what the services may take; control hangs then. */
const GRACE_MS = 1_000;

/** In a request thread: control knows, or asks. */
export function byControl(channel: Channel, clock: Clock): Judge {
  return async (question) => {
    const { promise: late, resolve } = Promise.withResolvers<Verdict>();
    const timer = clock.after(question.terms.timeoutMs + GRACE_MS, () => {
      resolve(unknown('unavailable'));
    });
    // It has ended, and so does this thread.
    const asked = channel.ask(JUDGE_KEY, question).catch(() => unknown('unavailable'));
    const verdict = await Promise.race([asked, late]);
    timer.cancel();
    return verdict;
  };
}

/** In control. */
export function judgeForThreads(channels: Channels, verdicts: KeyVerdicts): void {
  channels.answer(JUDGE_KEY, (_row, question) => verdicts.judge(question));
}

/** One acceptance is enough; a refusal counts when all refuse, since the one that did not answer may have accepted. */
function firstAcceptance(opinions: readonly Promise<Opinion>[]): Promise<Opinion> {
  return new Promise((resolve) => {
    let open = opinions.length;
    let all: Opinion = 'refused';
    if (open === 0) resolve(all);
    for (const opinion of opinions) {
      void opinion.then((one) => {
        open -= 1;
        if (one === 'unasked' || (one === 'unavailable' && all === 'refused')) all = one;
        if (one === 'accepted') resolve(one);
        else if (open === 0) resolve(all);
      });
    }
  });
}
