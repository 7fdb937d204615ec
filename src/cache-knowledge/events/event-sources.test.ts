import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KvEventSettings, WorkerEventTraits } from '../../config/settings/kv-events.ts';
import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import type { EventSource } from '../../workers/cache-config.ts';
import { eventWorkerOf } from './event-sources.ts';
import type { RankSource } from './event-worker.ts';
import { addressOfTopic } from './publisher-topic.ts';

const SETTINGS: KvEventSettings = {
  ...{ follows: 'known', endpoint: 'tcp://{host}:5557', replayPort: undefined, topic: '', ranks: 1 },
  ...{ endpoints: new Map(), bind: undefined, maxIndexBytes: 1_048_576 },
};
const OWN: WorkerEventTraits = {
  ...{ endpoint: undefined, port: undefined, replayPort: undefined, topic: undefined, ranks: undefined },
};
const SAID: EventSource = { rank: 0, endpoint: 'tcp://*:6000', replayEndpoint: 'tcp://*:6001', topic: 'kv' };

interface About {
  readonly baseUrl?: string;
  readonly rank?: number;
  readonly own?: Partial<WorkerEventTraits>;
  readonly said?: readonly EventSource[];
}

function sources(settings: Partial<KvEventSettings>, about: About = {}): readonly RankSource[] {
  return workerOf(settings, about).sources;
}

function workerOf(
  settings: Partial<KvEventSettings>,
  { baseUrl = 'http://gpu1:8000', rank, own, said }: About,
) {
  return eventWorkerOf(
    {
      ...{ slot: 3, generation: 2, models: new Set(['m']), eventSources: said },
      spec: { baseUrl, rank, id: baseUrl, apiKey: undefined, traits: DEFAULT_TRAITS },
      traits: { ...DEFAULT_TRAITS, kvEvents: own && { ...OWN, ...own } },
    },
    { ...SETTINGS, ...settings },
  );
}

const at = (endpoint: string | undefined, more: Partial<RankSource> = {}): RankSource => ({
  ...{ rank: 0, endpoint, replayEndpoint: undefined, topic: '' },
  ...more,
});

describe('where a worker publishes', () => {
  it('is nowhere, unless it says so or it is configured', () => {
    assert.deepEqual(sources({}), []);
    assert.deepEqual(sources({ follows: 'all' }), [at('tcp://gpu1:5557')]);
    assert.deepEqual(sources({ follows: 'none' }, { said: [SAID], own: { port: 1 } }), []);
  });

  it('is on one port for each rank, and replays as well', () => {
    assert.deepEqual(sources({ follows: 'all', ranks: 2, replayPort: 5600, topic: 'kv' }), [
      at('tcp://gpu1:5557', { replayEndpoint: 'tcp://gpu1:5600', topic: 'kv' }),
      at('tcp://gpu1:5558', { rank: 1, replayEndpoint: 'tcp://gpu1:5601', topic: 'kv' }),
    ]);
    assert.deepEqual(sources({ follows: 'all', ranks: 2 }, { rank: 1 }), [
      at('tcp://gpu1:5558', { rank: 1 }),
    ]);
  });

  it('is what it says of ports and topic, always with the host of its URL', () => {
    const said = [SAID, { rank: 1, endpoint: 'tcp://[::]:7000', replayEndpoint: undefined, topic: '' }];
    assert.deepEqual(sources({}, { said }), [
      at('tcp://gpu1:6000', { replayEndpoint: 'tcp://gpu1:6001', topic: 'kv' }),
      at('tcp://gpu1:7000', { rank: 1 }),
    ]);
    assert.deepEqual(sources({}, { said, rank: 1 }), [at('tcp://gpu1:7000', { rank: 1 })]);
    assert.deepEqual(sources({ follows: 'all' }, { said: [] }), []);
    const elsewhere = { ...SAID, replayEndpoint: 'tcp://10.0.0.9:6001' };
    assert.equal(sources({}, { said: [elsewhere] })[0]?.replayEndpoint, 'tcp://gpu1:6001');
  });

  it('is nowhere for one that connects to a subscriber, unless we take connections', () => {
    const said = [{ ...SAID, endpoint: 'tcp://router:5557' }];
    assert.deepEqual(sources({ follows: 'all' }, { said }), []);
    assert.deepEqual(sources({ bind: 'tcp://*:5557' }, { said }), [
      at(undefined, { replayEndpoint: 'tcp://gpu1:6001', topic: 'kv' }),
    ]);
    assert.deepEqual(sources({ bind: 'tcp://*:5557' }), [at(undefined)]);
    assert.deepEqual(sources({ bind: 'tcp://*:5557' }, { own: { replayPort: 7 } }), [
      at(undefined, { replayEndpoint: 'tcp://gpu1:7' }),
    ]);
  });

  it('is what is configured for it, before what it says', () => {
    const said = [SAID];
    assert.deepEqual(sources({}, { said, own: { port: 1000, replayPort: 1001 } }), [
      at('tcp://gpu1:1000', { replayEndpoint: 'tcp://gpu1:1001' }),
    ]);
    assert.deepEqual(sources({}, { said, own: { endpoint: 'tcp://other:9', replayPort: 10, ranks: 2 } }), [
      at('tcp://other:9', { replayEndpoint: 'tcp://other:10' }),
      at('tcp://other:10', { rank: 1, replayEndpoint: 'tcp://other:11' }),
    ]);
    assert.deepEqual(sources({}, { own: { topic: 'own' } }), [at('tcp://gpu1:5557', { topic: 'own' })]);
    const endpoints = new Map([['http://gpu1:8000', 'tcp://listed:5']]);
    assert.deepEqual(sources({ endpoints }, { said }), [at('tcp://listed:5')]);
  });

  it('has the host in brackets where it is an address of IPv6', () => {
    const about = { baseUrl: 'http://[::1]:8000', said: [SAID] };
    assert.equal(sources({}, about)[0]?.endpoint, 'tcp://[::1]:6000');
    assert.equal(workerOf({}, about).address, '::1:8000');
    assert.equal(addressOfTopic(Buffer.from('kv@[::1]:8000@m')), '::1:8000');
    assert.equal(addressOfTopic(Buffer.from('kv@10.0.0.1:8000@org/m@x')), '10.0.0.1:8000');
  });

  it('is this machine for a socket of it', () => {
    assert.deepEqual(sources({ follows: 'all' }, { baseUrl: 'unix:///run/v.sock' }), [
      at('tcp://127.0.0.1:5557'),
    ]);
  });

  it('knows the ports that URLs leave out', () => {
    assert.equal(workerOf({}, { baseUrl: 'http://gpu1' }).address, 'gpu1:80');
    assert.equal(workerOf({}, { baseUrl: 'https://gpu1' }).address, 'gpu1:443');
  });
});
