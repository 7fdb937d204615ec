import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { good, lines } from '../test-support.ts';
import type { KvEventSettings, WorkerEventTraits } from './kv-events.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-kv-events-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(yaml: string, ...flags: readonly string[]): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), yaml);
  const argv = ['--config-file', 'r.yaml', '--worker-urls=http://w', ...flags];
  return loadConfig({ argv, env: {}, cwd: folder });
}

function eventsOf(yaml: string, ...flags: readonly string[]): KvEventSettings {
  return good(load(yaml, ...flags)).settings.kvEvents;
}

function traitsOf(entry: string): WorkerEventTraits | undefined {
  const { settings } = good(load(`workers: [{url: 'http://x', ${entry}}]\n`));
  return settings.workers.find(({ baseUrl }) => baseUrl === 'http://x')?.traits.kvEvents;
}

describe('whose events are followed', () => {
  it('is that of workers of which it is known, unless something goes by them', () => {
    assert.equal(eventsOf('').follows, 'known');
    for (const yaml of [
      'kv_events: {port: 5557}',
      'kv_events: {endpoint: "tcp://{host}:1"}',
      'kv_events: {enabled: on}',
      'policy: {type: kv_aware}',
      'model_policies: {m: {type: kv_aware}}',
      'cache_knowledge: events',
      'policy: {type: least_work, cache_knowledge: events}',
      'mode: {kv_events: {default_port: 6000}}',
    ])
      assert.equal(eventsOf(yaml).follows, 'all', yaml);
    assert.equal(eventsOf('kv_events: {enabled: off, port: 5557}').follows, 'none');
  });

  it('may be said in the words of older files and of other routers', () => {
    const old = eventsOf('mode: {kv_events: {topic_filter: kv, default_port: 6000}}');
    assert.equal(old.endpoint, 'tcp://{host}:6000');
    assert.equal(old.topic, 'kv');
    const flags = eventsOf(
      '',
      ...['--kv-events-port=6000', '--kv-events-topic-filter=kv'],
      ...['--kv-events-endpoint', 'http://a:8000/=tcp://a:1', '--kv-events-endpoint', 'http://b=tcp://b:2'],
    );
    assert.equal(flags.endpoint, 'tcp://{host}:6000');
    assert.equal(flags.topic, 'kv');
    assert.deepEqual(
      [...flags.endpoints],
      [
        ['http://a:8000', 'tcp://a:1'],
        ['http://b', 'tcp://b:2'],
      ],
    );
  });

  it('is refused where it contradicts itself', () => {
    const problem = (yaml: string): string => lines(load(yaml)).join();
    assert.match(problem('kv_events: {port: 1, endpoint: "tcp://h:2"}'), /kv_events\.port: .*one of the two/);
    assert.match(
      problem('kv_events: {enabled: off}\npolicy: {type: kv_aware}'),
      /kv_events\.enabled: expected/,
    );
    assert.match(
      problem('kv_events: {endpoints: ["http://a=tcp://a:1", "http://a/=tcp://a:2"]}'),
      /endpoints\[1\].*has an endpoint already/,
    );
    assert.match(
      problem('kv_events: {port: 1}\nmode: {kv_events: {default_port: 1}}'),
      /give one of the two/,
    );
    for (const yaml of [
      'kv_events: {endpoint: "http://{host}:5557"}',
      'kv_events: {endpoint: "tcp://{host}:0"}',
      'kv_events: {endpoints: ["tcp://a:1"]}',
      'kv_events: {endpoints: ["http://a=udp://a:1"]}',
      'kv_events: {bind: "5557"}',
      'kv_events: {bind: "tcp://*:0"}',
      'kv_events: {port: 0}',
      'kv_events: {ranks: 0}',
    ])
      assert.match(problem(yaml), /kv_events/, yaml);
  });
});

describe('what a worker says of its events', () => {
  const NONE = {
    endpoint: undefined,
    port: undefined,
    replayPort: undefined,
    topic: undefined,
    ranks: undefined,
  };

  it('stands in its entry or in its labels, which annotations of pods become', () => {
    assert.equal(traitsOf(''), undefined);
    assert.equal(traitsOf('labels: {tier: gold}'), undefined);
    assert.deepEqual(traitsOf('kv_events: {port: 1, replay_port: 2, ranks: 3}'), {
      ...NONE,
      ...{ port: 1, replayPort: 2, ranks: 3 },
    });
    const labels = 'labels: {kv_events_port: "6", kv_events_topic: kv, kv_events_replay_port: "7"}';
    assert.deepEqual(traitsOf(labels), { ...NONE, port: 6, topic: 'kv', replayPort: 7 });
    assert.deepEqual(traitsOf(`kv_events: {port: 1}, ${labels}`), {
      ...NONE,
      ...{ port: 1, topic: 'kv', replayPort: 7 },
    });
  });

  it('in a label that is none is told of, and has no effect', () => {
    const { notices, settings } = good(
      load("workers: [{url: 'http://x', labels: {kv_events_port: many}}]\n"),
    );
    assert.deepEqual(notices, ['workers[0].kv_events_port: without effect, expected a port']);
    assert.equal(settings.workers[1]?.traits.kvEvents, undefined);
  });
});
