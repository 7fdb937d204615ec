import type { Channel, Channels, QuestionKind } from '../base/channel.ts';
import type { AskEmbeddings, EmbeddingAnswer } from './embedder.ts';

interface Asked {
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/** To a request thread: has a worker asked, since control sends no requests. */
const ASK_WORKER: QuestionKind<Asked, EmbeddingAnswer> = { name: 'semantic:ask-worker' };

const NOBODY: EmbeddingAnswer = {
  ...{ kind: 'failed', code: 'no_worker', message: 'no request thread serves yet' },
};

/** In control: one of the threads asks, in the end by whoever is in its place. What is no longer wanted is asked to its end. */
export function askThroughThreads(channels: Channels): AskEmbeddings {
  return async (body, { timeoutMs, maxBytes }) => {
    const [row] = channels.rows;
    const channel = row === undefined ? undefined : channels.to(row);
    try {
      const answer = await channel?.ask(ASK_WORKER, { body, timeoutMs, maxBytes });
      if (answer?.kind !== 'response') return answer ?? NOBODY;
      // What has been posted is no Buffer any more.
      return { ...answer, body: Buffer.from(answer.body) };
    } catch {
      // The thread has ended.
      return NOBODY;
    }
  };
}

/** In a request thread. */
export function answerAsking(channel: Channel, ask: AskEmbeddings): void {
  channel.answer(ASK_WORKER, ({ body, ...limits }) => ask(Buffer.from(body), limits));
}
