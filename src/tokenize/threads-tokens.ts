import type { Channel, Channels, MessageKind, QuestionKind } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import type { DoubtedTokens, TokenQuestion, TokensFound, TokenSource } from './tokens.ts';
import { withinTime } from './within-time.ts';

/** To control, which has the cache, the tokenizers, and the count of what workers are asked. */
const TOKENS_FOR: QuestionKind<TokenQuestion, TokensFound> = { name: 'tokens:for' };

/** To control: a worker has counted otherwise. */
const DOUBTED: MessageKind<DoubtedTokens> = { name: 'tokens:doubted' };

/** The end of a request thread. */
export class TokensOfThread implements TokenSource {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #timeoutMs: () => number;

  constructor(channel: Channel, clock: Clock, timeoutMs: () => number) {
    this.#channel = channel;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  async tokensFor(question: TokenQuestion): Promise<TokensFound> {
    // Control has ended, and so does this thread.
    // A view of a larger buffer would be posted with all of it.
    const posted = { ...question, members: new Uint8Array(question.members) };
    const asked = this.#channel.ask(TOKENS_FOR, posted).catch((): TokensFound => ({ kind: 'failed' }));
    return (await withinTime(asked, this.#timeoutMs(), this.#clock)) ?? { kind: 'late' };
  }

  doubt(doubted: DoubtedTokens): void {
    this.#channel.post(DOUBTED, doubted);
  }
}

/** In control: answers and hears the request threads. */
export function answerThreads(channels: Channels, source: TokenSource): void {
  channels.answer(TOKENS_FOR, (_row, question) => source.tokensFor(question));
  channels.on(DOUBTED, (_row, doubted) => {
    source.doubt(doubted);
  });
}
