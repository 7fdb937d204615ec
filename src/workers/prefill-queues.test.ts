import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { PrefillQueues, type PromptQueues, type QueuedPrompt } from './prefill-queues.ts';
import { PrefillRates } from './prefill-rates.ts';
import { SharedPrefillQueues } from './shared-prefill-queues.ts';

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
  | { readonly do: 'push'; readonly prefill: number; readonly stream: boolean; readonly thread: number }
  | { readonly do: 'remove'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('push' as const),
    prefill: fc.nat(2000),
    stream: fc.boolean(),
    thread: fc.nat(3),
  }),
  fc.record({ do: fc.constant('remove' as const), which: fc.nat(20) }),
  // Multiples of 1/8 ms, so that both sides' sums are exact.
  fc.record({ do: fc.constant('advance' as const), ms: fc.nat(8000).map((n) => n / 8) }),
);

/** What may come of one prompt, dealt to one of several queues. */
function follow(queuesOf: readonly PromptQueues[], steps: readonly Step[]): void {
  const plain = new PlainQueue();
  const prompts: { readonly prompt: QueuedPrompt; readonly queues: PromptQueues }[] = [];
  let now = 100;
  for (const [at, one] of steps.entries()) {
    if (one.do === 'advance') {
      now += one.ms;
      plain.advance(one.ms);
    } else if (one.do === 'push') {
      const prompt = promptOf(one.prefill, one.stream);
      const queues = queuesOf[one.thread % queuesOf.length]!;
      prompts.push({ prompt, queues });
      queues.push(prompt, now);
      plain.push(prompt);
    } else {
      const dealt = prompts[one.which % Math.max(1, prompts.length)];
      if (dealt === undefined) continue;
      dealt.queues.remove(dealt.prompt, now);
      plain.remove(dealt.prompt);
    }
    // Now this thread looks, now that one.
    const looking = queuesOf[at % queuesOf.length]!;
    assert.equal(looking.outstanding(0, now), plain.outstanding());
    if (looking instanceof SharedPrefillQueues) looking.note(0);
    assert.equal(looking.column(now)[0], Math.ceil(plain.outstanding()));
    assert.equal(looking.remaining(0, now), plain.remaining());
  }
  for (const { prompt, queues } of prompts) queues.remove(prompt, now);
  for (const queues of queuesOf) {
    assert.equal(queues.outstanding(0, now), 0);
    assert.equal(queues.remaining(0, now), 0);
  }
}

function alone(): readonly PromptQueues[] {
  const queues = new PrefillQueues(new PrefillRates(RATE));
  queues.reserve(1);
  return [queues];
}

function shared(threads: number): SharedPrefillQueues[] {
  const memory = new SharedMemory(threads);
  const rates = new PrefillRates(RATE);
  const control = new SharedPrefillQueues(memory, rates);
  const joined = Array.from({ length: threads }, (_, index) => {
    const own = new JoinedMemory(memory.regions, { rows: threads + 1, self: index + 1 });
    return new SharedPrefillQueues(own, rates);
  });
  return [...joined, control];
}

const LAYOUTS: readonly (readonly [string, () => readonly PromptQueues[]])[] = [
  ['one thread', alone],
  ['one request thread', () => shared(1)],
  ['two request threads', () => shared(2)],
  ['four request threads', () => shared(4)],
];

describe('prefill queues', () => {
  for (const [layout, open] of LAYOUTS)
    it(`agree with the plain rules in any interleaving, ${layout}`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
          follow(open(), steps);
        }),
        { numRuns: 500, seed: 7 },
      );
    });

  it('are the same for any number of threads where all is streamed, and where nothing is', () => {
    for (const stream of [true, false])
      fc.assert(
        fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
          const alike = steps.map((one) => (one.do === 'push' ? { ...one, stream } : one));
          for (const [, open] of LAYOUTS) follow(open(), alike);
        }),
        { numRuns: 200, seed: 11 },
      );
  });
});

describe('the line of several threads', () => {
  /** Two hundred prompts behind a stream that has not begun; every second leaves before its turn. */
  function thinned(): { readonly plain: PlainQueue; readonly queues: readonly SharedPrefillQueues[] } {
    const queues = shared(2);
    const plain = new PlainQueue();
    const stuck = promptOf(10, true);
    queues[0]?.push(stuck, 0);
    const dealt = Array.from({ length: 200 }, (_, index) => {
      const prompt = promptOf(50 + (index % 7), false);
      queues[(index >> 1) % 2]?.push(prompt, 0);
      plain.push(prompt);
      return prompt;
    });
    for (const [index, prompt] of dealt.entries()) {
      if (index % 2 > 0) continue;
      queues[(index >> 1) % 2]?.remove(prompt, 0);
      plain.remove(prompt);
    }
    queues[0]?.remove(stuck, 0);
    return { plain, queues };
  }

  it('keeps the sum when more prompts leave from its midst than it has room for', () => {
    const { plain, queues } = thinned();
    const total = plain.outstanding();
    for (let now = 0; now < 8000; now += 50) {
      for (const one of queues) {
        const off = Math.abs(one.outstanding(0, now) - plain.outstanding());
        assert.ok(off <= 0.02 * total, `${off} of ${total} after ${now} ms`);
      }
      plain.advance(50);
    }
    for (const one of queues) assert.equal(one.outstanding(0, 8000), 0);
  });

  it('loses what a thread had in it that died, and goes on', () => {
    const [one, two, control] = shared(2);
    assert.ok(one && two && control);
    const [dead, left, last] = [promptOf(500, true), promptOf(300, false), promptOf(200, true)];
    two.push(left, 0);
    one.push(dead, 0);
    one.push(promptOf(100, false), 0);
    two.push(last, 0);
    assert.equal(control.outstanding(0, 100), 1000);
    control.reclaim(1, 100);
    for (const queues of [two, control]) {
      assert.equal(queues.outstanding(0, 100), 400);
      assert.equal(queues.remaining(0, 100), 400);
      assert.equal(queues.outstanding(0, 1000), 200);
    }
    two.remove(last, 1000);
    assert.equal(control.outstanding(0, 1000), 0);
    const next = promptOf(50, false);
    two.push(next, 2000);
    assert.equal(control.outstanding(0, 2020), 30);
    assert.equal(control.outstanding(0, 2100), 0);
  });
});
