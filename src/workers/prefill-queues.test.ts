import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PrefillQueues } from './prefill-queues.ts';
import type { QueuedPrompt } from './prefill-queues.ts';
import { PrefillRates } from './prefill-rates.ts';

const RATE = 1000;

function promptOf(prefill: number, stream: boolean): QueuedPrompt {
  return { slot: 0, prefill, stream, queued: false, previous: undefined, next: undefined, end: 0 };
}

/** The same rules said plainly: remaining tokens per prompt, the oldest worked off first. */
class PlainQueue {
  readonly #prompts: { readonly of: QueuedPrompt; left: number }[] = [];

  push(prompt: QueuedPrompt): void {
    if (prompt.prefill > 0) this.#prompts.push({ of: prompt, left: prompt.prefill });
  }

  remove(prompt: QueuedPrompt): void {
    const index = this.#prompts.findIndex(({ of }) => of === prompt);
    if (index >= 0) this.#prompts.splice(index, 1);
  }

  advance(ms: number): void {
    let budget = (ms * RATE) / 1000;
    for (let first = this.#prompts[0]; first !== undefined && budget > 0; first = this.#prompts[0]) {
      const done = Math.min(first.left, budget);
      first.left -= done;
      budget -= done;
      if (first.left > 0 || first.of.stream) return;
      this.#prompts.shift();
    }
  }

  outstanding(): number {
    return this.#prompts.reduce((sum, { of, left }) => sum + (of.stream ? of.prefill : left), 0);
  }

  remaining(): number {
    return this.#prompts.reduce((sum, { left }) => sum + left, 0);
  }
}

type Step =
  | { readonly do: 'push'; readonly prefill: number; readonly stream: boolean }
  | { readonly do: 'remove'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('push' as const), prefill: fc.nat(2000), stream: fc.boolean() }),
  fc.record({ do: fc.constant('remove' as const), which: fc.nat(20) }),
  // Multiples of 1/8 ms, so that both sides' sums are exact.
  fc.record({ do: fc.constant('advance' as const), ms: fc.nat(8000).map((n) => n / 8) }),
);

describe('prefill queues', () => {
  it('agree with the plain rules in any interleaving', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const queues = new PrefillQueues(new PrefillRates(RATE));
        queues.reserve(1);
        const plain = new PlainQueue();
        const prompts: QueuedPrompt[] = [];
        let now = 100;
        for (const one of steps) {
          if (one.do === 'advance') {
            now += one.ms;
            plain.advance(one.ms);
          } else if (one.do === 'push') {
            const { prefill, stream } = one;
            const prompt = promptOf(prefill, stream);
            prompts.push(prompt);
            queues.push(prompt, now);
            plain.push(prompt);
          } else {
            const prompt = prompts[one.which % Math.max(1, prompts.length)];
            if (prompt === undefined) continue;
            queues.remove(prompt, now);
            plain.remove(prompt);
          }
          assert.equal(queues.outstanding(0, now), plain.outstanding());
          assert.equal(queues.remaining(0, now), plain.remaining());
        }
        for (const prompt of prompts) queues.remove(prompt, now);
        assert.equal(queues.outstanding(0, now), 0);
        assert.equal(queues.remaining(0, now), 0);
      }),
      { numRuns: 500, seed: 7 },
    );
  });
});
