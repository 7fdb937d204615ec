import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomInt, seededRandom } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { NO_SCOPE, scopeHash, type CacheScope } from '../engine/cache-scope.ts';
import { MODEL_DEFAULTS, type ModelSettings } from '../engine/model-settings.ts';
import type { Sequence } from '../engine/sequence.ts';
import { blockHashes } from '../engine/tokens.ts';
import { WorkerModel } from '../engine/worker-model.ts';
import { EventRecorder } from './event-recorder.ts';
import type { KvEvent } from './kv-event.ts';

function setUp(settings: Partial<ModelSettings>) {
  const clock = new VirtualClock();
  const model = new WorkerModel({ ...MODEL_DEFAULTS, ...settings }, clock);
  let batches: (readonly KvEvent[])[] = [];
  const recorder = new EventRecorder(model, '0', (events) => batches.push(events));
  model.observer = recorder;
  const submit = (ids: readonly number[], outputTokens: number, scope: CacheScope = NO_SCOPE): Sequence => {
    const all = Int32Array.from([...ids, ...Array.from({ length: outputTokens }, (_, i) => 90_000 + i)]);
    return model.submit({
      ...{ promptTokens: ids.length, outputTokens, finishedReason: 'length', onDone: () => undefined },
      hashes: blockHashes(all, model.settings.blockSize, scopeHash(scope)),
      tokens: { ids: all, scope },
    });
  };
  /** What was sent since the last time, when everything has been computed. */
  const sent = (): (readonly KvEvent[])[] => {
    clock.advance(60_000);
    const all = batches;
    batches = [];
    return all;
  };
  return { model, recorder, submit, sent };
}

function ids(topic: number, length: number): number[] {
  return Array.from({ length }, (_, i) => topic * 10_000 + i);
}

/** `S7` seven blocks stored from the first on, `+2` two behind others, `R35` 35 removed one by one, `C` all cleared. */
function short(events: readonly KvEvent[]): string {
  const words: string[] = [];
  let removed = 0;
  for (const event of events) {
    if (event.kind === 'removed') {
      removed += 1;
      continue;
    }
    if (removed > 0) words.push(`R${removed}`);
    removed = 0;
    if (event.kind === 'cleared') words.push('C');
    else if (event.kind === 'offloaded') words.push('O');
    else words.push(`${event.parent ? '+' : 'S'}${event.hashes.length}`);
  }
  if (removed > 0) words.push(`R${removed}`);
  return words.join(' ');
}

/** What a reader knows who believes every event: how many blocks hold a hash. */
class Believed {
  readonly held = new Map<string, number>();

  apply(events: readonly KvEvent[]): void {
    for (const event of events) {
      if (event.kind === 'cleared') this.held.clear();
      else if (event.kind === 'stored') for (const hash of event.hashes) this.#add(hash, 1);
      else if (event.kind === 'removed' && event.medium === 'GPU') this.#add(event.hash, -1);
    }
  }

  #add(hash: Buffer, by: number): void {
    const key = hash.toString('hex');
    const count = (this.held.get(key) ?? 0) + by;
    assert.ok(count >= 0, 'removed more often than stored');
    if (count === 0) this.held.delete(key);
    else this.held.set(key, count);
  }
}

describe('what an engine tells of its cache', () => {
  // Recorded from vLLM 0.32.0 with a block size of 32, 255 usable blocks and steps of 2,048 tokens.
  it('is what vLLM told at the same steps', () => {
    const { model, submit, sent } = setUp({ blockSize: 32, blocks: 255, maxModelLen: 4096 });
    const first = ids(1, 241);
    const several = (...prompts: readonly (readonly number[])[]): Sequence | undefined =>
      prompts.map((prompt) => submit(prompt, 1)).at(-1);
    const salted = { ...NO_SCOPE, salt: 'tenant-a' };
    const steps: readonly (readonly [
      what: string,
      told: readonly string[],
      cachedTokens: number,
      run: () => Sequence | undefined,
    ])[] = [
      ['a prompt', ['S7'], 0, () => submit(first, 1)],
      ['the same again', [], 224, () => submit(first, 1)],
      ['one that goes on', ['+2'], 224, () => submit([...first, ...ids(2, 64)], 1)],
      ['another one', ['S2'], 0, () => submit(ids(3, 70), 1)],
      ['one below a block', [], 0, () => submit(ids(4, 1), 1)],
      ['blocks filled by what is generated', ['S1', '+1'], 0, () => submit(ids(5, 30), 40)],
      ['a prompt', ['S3'], 0, () => submit(ids(6, 126), 1)],
      ['the same with a salt', ['S3'], 0, () => submit(ids(6, 126), 1, salted)],
      ['two answers to one prompt', ['S2'], 64, () => several(ids(7, 70), ids(7, 70))],
      // vLLM sent two messages, since the second prompt came a moment after the first.
      ['two prompts', ['S1 S2'], 0, () => several(ids(8, 50), ids(9, 70))],
      ['in two steps', ['S64', '+29'], 0, () => submit(ids(10, 3000), 1)],
      ['into free blocks', ['S64', '+45'], 0, () => submit(ids(11, 3500), 1)],
      ['into used ones', ['R35 S64', 'R46 +45'], 0, () => submit(ids(12, 3500), 1)],
      ['and more', ['R63 S64', 'R46 +45'], 0, () => submit(ids(13, 3500), 1)],
      ['the first, gone by now', ['R7 S7'], 0, () => submit(first, 1)],
    ];
    for (const [what, told, cachedTokens, run] of steps) {
      const last = run();
      assert.deepEqual(sent().map(short), told, what);
      assert.equal(last?.cachedTokens, cachedTokens, what);
    }
    assert.equal(model.cache.reset(), true);
    assert.deepEqual(sent(), [], 'cleared, but no step that would tell of it');
    submit(first, 1);
    assert.deepEqual(sent().map(short), ['C S7']);
  });

  it('names adapter and salt where vLLM does', () => {
    const { submit, sent } = setUp({ blockSize: 4 });
    submit(ids(1, 9), 1, { adapter: 'my-lora', salt: 'tenant-a' });
    const [[event] = []] = sent();
    assert.ok(event?.kind === 'stored');
    assert.deepEqual(event.extraKeys, [['my-lora', 'tenant-a'], ['my-lora']]);
    assert.deepEqual([event.adapter, event.adapterId], ['my-lora', 1]);
    assert.deepEqual([...event.tokens], ids(1, 8));
  });

  it('has the same hashes for the same tokens under the same seed, and others under another adapter', () => {
    const hashesOf = (scope: CacheScope): string[] => {
      const { submit, sent } = setUp({ blockSize: 4 });
      submit(ids(1, 9), 1, scope);
      return sent()
        .flat()
        .flatMap((event) =>
          event.kind === 'stored' ? event.hashes.map((hash) => hash.toString('hex')) : [],
        );
    };
    assert.deepEqual(hashesOf(NO_SCOPE), hashesOf(NO_SCOPE));
    assert.notDeepEqual(hashesOf(NO_SCOPE), hashesOf({ ...NO_SCOPE, adapter: 'a' }));
  });

  it('tells of a second block with the same contents, and of the end of each', () => {
    const { model, submit, sent } = setUp({ blockSize: 4, blocks: 4, maxModelLen: 16 });
    submit(ids(1, 8), 1);
    assert.deepEqual(sent().map(short), ['S2']);
    // Its last token is computed anew, and its block with it.
    const again = submit(ids(1, 8), 1);
    assert.deepEqual(sent().map(short), ['+1']);
    assert.equal(again.cachedTokens, 4);
    assert.equal(model.cache.held, 3);
    submit(ids(2, 16), 0);
    assert.deepEqual(sent().map(short), ['R3 S4']);
  });

  it('tells of what goes to the CPU by its hash alone, and of what comes back as any other block', () => {
    const { submit, sent } = setUp({ blockSize: 4, blocks: 4, cpuBlocks: 6, maxModelLen: 16 });
    submit(ids(1, 13), 1);
    assert.deepEqual(sent().map(short), ['S3 O O O']);
    submit(ids(2, 13), 1);
    assert.deepEqual(sent().map(short), ['R3 S3 O O O']);
    const again = submit(ids(1, 13), 1);
    assert.deepEqual(sent().map(short), ['R3 S3']);
    assert.equal(again.cachedTokens, 12);
    submit(ids(3, 5), 1);
    const [[, , offloaded, ...rest] = []] = sent();
    assert.equal(offloaded?.kind, 'removed');
    assert.ok(offloaded.medium === 'CPU' && rest[0]?.kind === 'offloaded', 'the oldest made room');
  });

  it('forgets its past with a restart', () => {
    const { model, recorder, submit, sent } = setUp({ blockSize: 4 });
    submit(ids(1, 8), 1);
    sent();
    model.cache.reset();
    recorder.restart();
    submit(ids(1, 8), 1);
    assert.deepEqual(sent().map(short), ['S2']);
  });

  it('adds up to what the cache holds, whatever happens', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed);
        const { model, submit, sent } = setUp({
          ...{
            blockSize: 2,
            blocks: 24,
            maxModelLen: 48,
            stepTokens: 8,
            cpuBlocks: randomInt(random, 2) * 40,
          },
        });
        const believed = new Believed();
        const open: Sequence[] = [];
        let isResetTold = true;
        for (let step = 0; step < 60; step++) {
          const prompt = Array.from({ length: 1 + randomInt(random, 24) }, (_, i) =>
            i < 6 ? randomInt(random, 2) : i,
          );
          open.push(submit(prompt, 1 + randomInt(random, 12)));
          const [victim] = open.splice(randomInt(random, open.length), randomInt(random, 2));
          if (victim) model.abort(victim);
          if (randomInt(random, 3) > 0) continue;
          for (const events of sent()) {
            believed.apply(events);
            isResetTold = true;
          }
          if (randomInt(random, 8) === 0 && model.cache.reset()) isResetTold = false;
          else if (model.cache.used === 0 && isResetTold) {
            const blocks = [...believed.held.values()].reduce((sum, count) => sum + count, 0);
            assert.equal(blocks, model.cache.held);
          }
        }
      }),
      { numRuns: 60, seed: 5 },
    );
  });
});
