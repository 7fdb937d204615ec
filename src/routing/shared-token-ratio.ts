import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import { addTo, canLearn, noSums, sumsOf, TokenRatio, type ReadText, type Sums } from './token-ratio.ts';

type SumsByModel = readonly (readonly [model: string, sums: Readonly<Sums>])[];

/** To control: what workers have reported to this thread since the last time. */
export const LEARNT: MessageKind<SumsByModel> = { name: 'token-ratio:learnt' };
/** To a thread: the sums of all threads, of these models. */
export const RATIOS: MessageKind<SumsByModel> = { name: 'token-ratio:is' };
/** To control: a thread begins. */
export const RATIOS_WANTED: MessageKind<null> = { name: 'token-ratio:wanted' };

/** What is learnt waits so long for more. */
const GATHER_MS = 250;
const MOST_MODELS = 1024;

/** In a request thread: what it learns goes to control, and it counts by what control says. */
export class TokenRatioOfThread extends TokenRatio {
  readonly #channel: Channel;
  readonly #clock: Clock;
  #gathered = new Map<string, Sums>();

  constructor(channel: Channel, clock: Clock) {
    super();
    this.#channel = channel;
    this.#clock = clock;
    channel.on(RATIOS, (ratios) => {
      for (const [model, sums] of ratios) this.set(model, sums);
    });
    channel.post(RATIOS_WANTED, null);
  }

  override learn(model: string, text: ReadText, promptTokens: number): void {
    if (!canLearn(text, promptTokens)) return;
    let sums = this.#gathered.get(model);
    if (!sums) {
      if (this.#gathered.size >= MOST_MODELS) return;
      if (this.#gathered.size === 0)
        this.#clock.after(GATHER_MS, () => {
          this.#channel.post(LEARNT, [...this.#gathered]);
          this.#gathered = new Map();
        });
      sums = noSums();
      this.#gathered.set(model, sums);
    }
    addTo(sums, sumsOf(text, promptTokens));
  }
}

/** In control: the one that learns. */
export class TokenRatioOfThreads extends TokenRatio {
  constructor(channels: Channels) {
    super();
    channels.on(LEARNT, (_row, learnt) => {
      for (const [model, sums] of learnt) this.add(model, sums);
      channels.broadcast(RATIOS, this.#all(learnt.map(([model]) => model)));
    });
    channels.on(RATIOS_WANTED, (row) => {
      channels.to(row)?.post(RATIOS, this.#all(this.models));
    });
  }

  #all(models: Iterable<string>): SumsByModel {
    return [...models].flatMap((model) => {
      const sums = this.sumsOf(model);
      return sums
        ? [[model, { chars: sums.chars, tokens: sums.tokens, moments: sums.moments }] as const]
        : [];
    });
  }
}
