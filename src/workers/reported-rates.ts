import type { Channel, MessageKind } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import { isSample, type Rates } from './prefill-rates.ts';

/** What request threads saw of the workers' speed: slot, generation, tokens and ms of each sample, one after another. */
export const PREFILL_SAMPLES: MessageKind<readonly number[]> = { name: 'prefill-samples' };

/** They are sent together, at the latest after so long. */
const GATHER_MS = 5;
const MOST_NUMBERS = 4 * 256;

/** The rates as a request thread has them: it reads what control has learnt, and tells it what it sees. */
export class ReportedRates implements Rates {
  readonly #rates: Float64Array;
  readonly #channel: Channel;
  readonly #clock: Clock;
  #samples: number[] = [];

  constructor(rates: Float64Array, { channel, clock }: { channel: Channel; clock: Clock }) {
    this.#rates = rates;
    this.#channel = channel;
    this.#clock = clock;
  }

  rate(slot: number): number {
    return this.#rates[slot]!;
  }

  column(): Float64Array {
    return this.#rates;
  }

  learn(slot: number, tokens: number, elapsedMs: number, generation: number): void {
    if (!isSample(tokens, elapsedMs)) return;
    if (this.#samples.length === 0) {
      this.#clock.after(GATHER_MS, () => {
        this.#send();
      });
    }
    this.#samples.push(slot, generation, tokens, elapsedMs);
    if (this.#samples.length >= MOST_NUMBERS) this.#send();
  }

  #send(): void {
    if (this.#samples.length === 0) return;
    this.#channel.post(PREFILL_SAMPLES, this.#samples);
    this.#samples = [];
  }
}

/** In control: what a request thread saw, sample by sample. */
export function eachSample(
  samples: readonly number[],
  take: (slot: number, tokens: number, elapsedMs: number, generation: number) => void,
): void {
  for (let at = 0; at + 3 < samples.length; at += 4)
    take(samples[at]!, samples[at + 2]!, samples[at + 3]!, samples[at + 1]!);
}
