import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Collected } from '../collect.ts';
import { readEventSources } from './event-sources.ts';

function answer(body: unknown, status = 200): Collected {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'response', status, headers: [], body: Buffer.from(text) };
}

/** As vLLM 0.32 answers. */
const SOURCE = {
  enable_kv_cache_events: true,
  publisher: 'zmq',
  endpoint: 'tcp://*:5557',
  replay_endpoint: 'tcp://*:5558',
  buffer_steps: 10000,
  hwm: 100000,
  max_queue_size: 100000,
  topic: 'kv-events',
};

describe('where a server publishes events', () => {
  it('is told for each rank', () => {
    const { replay_endpoint: _, ...withoutReplay } = SOURCE;
    assert.deepEqual(
      readEventSources(answer({ 0: SOURCE, 1: { ...withoutReplay, endpoint: 'tcp://*:5558' } })),
      {
        kind: 'told',
        sources: [
          { rank: 0, endpoint: 'tcp://*:5557', replayEndpoint: 'tcp://*:5558', topic: 'kv-events' },
          { rank: 1, endpoint: 'tcp://*:5558', replayEndpoint: undefined, topic: 'kv-events' },
        ],
      },
    );
  });

  it('is nowhere where events are off or go nowhere', () => {
    const off = { 0: { ...SOURCE, enable_kv_cache_events: false }, 1: { ...SOURCE, publisher: 'null' } };
    assert.deepEqual(readEventSources(answer(off)), { kind: 'told', sources: [] });
    assert.deepEqual(readEventSources(answer({})), { kind: 'told', sources: [] });
  });

  it('is not told by a server without the route, nor by one that answers something else', () => {
    for (const said of [answer('', 404), answer('', 405), answer('<html>'), answer([])])
      assert.deepEqual(readEventSources(said), { kind: 'not_offered' });
    for (const said of [answer('', 503), { kind: 'failed', code: 'timeout', message: '' } as const])
      assert.deepEqual(readEventSources(said), { kind: 'failed' });
  });

  it('is taken with care', () => {
    const odd = {
      x: SOURCE,
      '-1': SOURCE,
      2: null,
      3: 'tcp://*:1',
      4: { ...SOURCE, endpoint: 'x'.repeat(1000) },
    };
    assert.deepEqual(readEventSources(answer(odd)), { kind: 'told', sources: [] });
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, rank) => [rank, SOURCE]));
    const told = readEventSources(answer(many));
    assert.ok(told.kind === 'told' && told.sources.length === 1024);
  });
});
