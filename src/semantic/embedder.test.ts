import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { Embedder, type EmbeddingAnswer, type EmbedderEvents } from './embedder.ts';

const SETTINGS = {
  ...{ address: undefined, model: 'bge', timeoutMs: 500 },
  breaker: {
    ...{ enabled: true, failureThreshold: 3, successThreshold: 1, openMs: 5000, windowMs: 60_000 },
    halfOpenTrials: 1,
  },
};

function answered(body: unknown, status = 200): EmbeddingAnswer {
  return {
    kind: 'response',
    status,
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  };
}

const vectorOf = (...embedding: unknown[]): EmbeddingAnswer => answered({ data: [{ embedding }] });

function bench(answer: EmbeddingAnswer | (() => Promise<EmbeddingAnswer>)) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const outcomes: string[] = [];
  const others: number[] = [];
  const state = { answer };
  const events: EmbedderEvents = {
    asked: (outcome) => outcomes.push(outcome),
    breaker: () => undefined,
    otherModel: (_before, dimensions) => others.push(dimensions),
  };
  const ask = (body: Buffer): Promise<EmbeddingAnswer> => {
    asked.push(body.toString());
    return typeof state.answer === 'function' ? state.answer() : Promise.resolve(state.answer);
  };
  const embedder = new Embedder(SETTINGS, { clock, ask, events });
  return { clock, asked, outcomes, others, state, embed: (text = 'x') => embedder.embed(text, 500) };
}

describe('the embedder', () => {
  it('asks as OpenAI has it, and makes every vector one of length 1', async () => {
    const { embed, asked } = bench(vectorOf(3, 4));
    const embedding = await embed('a "text"');
    assert.deepEqual(asked, ['{"model":"bge","input":"a \\"text\\""}']);
    assert.ok(embedding.kind === 'vector');
    assert.deepEqual(
      Array.from(embedding.vector, (value) => Math.round(value * 10)),
      [6, 8],
    );
  });

  it('takes base64 where a service always answers so', async () => {
    const bytes = Buffer.from(new Uint8Array(Float32Array.of(0, 2).buffer));
    const embedding = await bench(answered({ data: [{ embedding: bytes.toString('base64') }] })).embed();
    assert.ok(embedding.kind === 'vector');
    assert.deepEqual([...embedding.vector], [0, 1]);
  });

  for (const [what, answer] of [
    ['garbage', answered('<html>')],
    ['no data', answered({ data: [] })],
    ['a vector of nothing', vectorOf()],
    ['a vector without direction', vectorOf(0, 0, 0)],
    ['NaN, as JSON has it', vectorOf(1, null)],
    ['Infinity', answered('{"data":[{"embedding":[1e999,1]}]}')],
    ['words', vectorOf('1', '2')],
    ['more dimensions than any model has', vectorOf(...Array.from({ length: 16_385 }, () => 1))],
    ['base64 that is no floats', answered({ data: [{ embedding: 'AAA' }] })],
    ['base64 of NaN', answered({ data: [{ embedding: Buffer.from([0, 0, 192, 127]).toString('base64') }] })],
  ] as const)
    it(`has no use for ${what}`, async () => {
      const { embed, outcomes } = bench(answer);
      assert.equal((await embed()).kind, 'failed');
      assert.deepEqual(outcomes, ['unusable']);
    });

  it('is left alone after failures in a row, and tried again by one text', async () => {
    const { embed, asked, outcomes, clock, state } = bench({ kind: 'failed', code: 'timeout', message: '' });
    for (let at = 0; at < 5; at++) await embed();
    assert.equal(asked.length, 3);
    assert.deepEqual(outcomes, ['timeout', 'timeout', 'timeout', 'circuit_open', 'circuit_open']);
    state.answer = vectorOf(1, 0);
    clock.advance(5000);
    assert.equal((await embed()).kind, 'vector');
    assert.equal((await embed()).kind, 'vector');
  });

  it('is not blamed for a text that it refuses, a client that leaves, or workers that are not there', async () => {
    const { embed, outcomes, state } = bench(answered({ error: 'too long' }, 400));
    for (const answer of [
      answered('', 413),
      { kind: 'failed', code: 'aborted', message: '' },
      { kind: 'failed', code: 'out_of_sockets', message: '' },
      { kind: 'failed', code: 'no_worker', message: '' },
    ] as const) {
      await embed();
      state.answer = answer;
    }
    await embed();
    state.answer = vectorOf(1);
    assert.equal((await embed()).kind, 'vector');
    assert.deepEqual(outcomes, ['refused', 'refused', 'aborted', 'error', 'error', 'embedded']);
  });

  it('has another model when it answers with other dimensions again and again, not when it does so once', async () => {
    const { embed, outcomes, others, state } = bench(vectorOf(1, 0));
    await embed();
    state.answer = vectorOf(1, 0, 0);
    assert.equal((await embed()).kind, 'failed');
    state.answer = vectorOf(0, 1);
    assert.equal((await embed()).kind, 'vector');
    state.answer = vectorOf(1, 0, 0);
    await embed();
    await embed();
    assert.deepEqual(others, []);
    assert.equal((await embed()).kind, 'vector');
    assert.deepEqual(others, [3]);
    assert.deepEqual(outcomes.slice(-3), ['unusable', 'unusable', 'embedded']);
  });

  it('is never asked by too many at once', async () => {
    const { promise, resolve } = Promise.withResolvers<EmbeddingAnswer>();
    const { embed, outcomes } = bench(() => promise);
    const all = Array.from({ length: 257 }, () => embed());
    assert.deepEqual(outcomes, ['busy']);
    resolve(vectorOf(1));
    await Promise.all(all);
    assert.equal((await embed()).kind, 'vector');
  });
});
