import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { createMetrics } from '../../observe/metrics.ts';
import type { WorkerTokens } from '../worker-tokenizers.ts';
import { ProvenTokenizers, type LocalState, type ProvableWorker } from './proven-tokenizers.ts';
import type { LoadedTokenizer } from './text-messages.ts';

const IDS: WorkerTokens = { kind: 'ids', ids: Uint32Array.of(1) };

interface Fake extends ProvableWorker {
  readonly answers: WorkerTokens[];
}

function worker(name: string, models = ['m']): Fake {
  return { id: name, spec: { baseUrl: name }, models: new Set(models), answers: [IDS] };
}

function start({ loaded }: { loaded?: (path: string) => LoadedTokenizer } = {}) {
  const clock = new VirtualClock();
  const lines: { message: string; fields: Record<string, unknown> }[] = [];
  const metrics = createMetrics();
  const asked: string[] = [];
  const paths = new Map([['m', '/m']]);
  const tokenizers = new ProvenTokenizers<Fake>({
    ...{ clock, log: recordingLog(lines), metrics, pathOf: (_worker, model) => paths.get(model) },
    jobs: {
      load: async (path) => loaded?.(path) ?? { kind: 'loaded', identity: `of ${path}`, specials: [] },
      run: async () => ({ kind: 'ids', ids: Uint32Array.of(1) }),
    },
    tokensBy: async ({ id, answers }) => {
      asked.push(id);
      return answers.at(-1) ?? IDS;
    },
  });
  const stateOf = (one: Fake): LocalState | undefined => tokenizers.verdictsOf(one)[0]?.state;
  return { clock, lines, metrics, asked, paths, tokenizers, stateOf };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

describe('tokenizers of the router', () => {
  it('are used from when a worker has the same', async () => {
    const { tokenizers, stateOf, lines } = start();
    const a = worker('a');
    assert.equal(tokenizers.provenFor('m', [a]), undefined);
    assert.equal(stateOf(a), 'proving');
    await settle();
    assert.equal(stateOf(a), 'proven');
    const local = tokenizers.provenFor('m', [a]);
    assert.match(local?.identity ?? '', /^local of \/m string/);
    const question = { model: 'm', route: 'chat', members: Buffer.from('{}'), renderOnly: false } as const;
    assert.deepEqual(await local?.tokensOf(question), IDS);
    assert.deepEqual((await local?.tokensOf({ ...question, route: 'responses' }))?.kind, 'unsure');
    assert.match(lines[0]?.message ?? '', /is used/);
  });

  it('are compared when a worker comes, before anybody asks', async () => {
    const { tokenizers, stateOf } = start();
    const a = worker('a');
    tokenizers.changed(a);
    await settle();
    assert.equal(stateOf(a), 'proven');
  });

  it('are used while another worker is being compared, and no more where it differs', async () => {
    const { tokenizers, stateOf, lines } = start();
    const [a, b] = [worker('a'), worker('b')];
    tokenizers.changed(a);
    await settle();
    b.answers.push({ kind: 'ids', ids: Uint32Array.of(2) });
    tokenizers.changed(b);
    assert.ok(tokenizers.provenFor('m', [a, b]));
    await settle();
    assert.equal(stateOf(b), 'differs');
    assert.equal(tokenizers.provenFor('m', [a, b]), undefined);
    assert.ok(tokenizers.provenFor('m', [a]));
    assert.deepEqual([lines[1]?.fields['worker'], lines.length], ['b', 2]);
    assert.match(String(lines[1]?.fields['reason']), /^a prompt: token 0 is 1, the worker's is 2$/);
  });

  it('are compared again where the worker may be another by now, and forgotten with it', async () => {
    const { tokenizers, stateOf, asked } = start();
    const a = worker('a');
    tokenizers.changed(a);
    await settle();
    const before = asked.length;
    a.answers.push({ kind: 'ids', ids: Uint32Array.of(2) });
    tokenizers.changed(a);
    await settle();
    assert.ok(asked.length > before);
    assert.equal(stateOf(a), 'differs');
    tokenizers.left(a);
    assert.equal(stateOf(a), undefined);
  });

  it('are compared again, later and later, where a worker could not be asked', async () => {
    const { clock, tokenizers, stateOf, asked } = start();
    const a = worker('a');
    a.answers.push({ kind: 'failed' });
    tokenizers.changed(a);
    await settle();
    assert.deepEqual([stateOf(a), asked.length], ['unproved', 1]);
    tokenizers.provenFor('m', [a]);
    await settle();
    assert.equal(asked.length, 1);
    clock.advance(5_000);
    tokenizers.provenFor('m', [a]);
    await settle();
    assert.equal(asked.length, 2);
    clock.advance(5_000);
    tokenizers.provenFor('m', [a]);
    await settle();
    assert.equal(asked.length, 2);
    clock.advance(5_000);
    a.answers.push(IDS);
    tokenizers.provenFor('m', [a]);
    await settle();
    assert.equal(stateOf(a), 'proven');
  });

  it('that cannot be read are not used, and read again when all are', async () => {
    let file: LoadedTokenizer = { kind: 'unreadable', reason: 'there is none' };
    const { tokenizers, stateOf, lines, metrics } = start({ loaded: () => file });
    const a = worker('a');
    tokenizers.changed(a);
    await settle();
    assert.equal(stateOf(a), 'unreadable');
    assert.equal(lines[0]?.fields['reason'], 'there is none');
    assert.match(await metrics.registry.text(), /vllm_router_local_tokenizers\{state="unreadable"\} 1/);
    file = { kind: 'loaded', identity: 'x', specials: [] };
    await tokenizers.reload([a]);
    await settle();
    assert.equal(stateOf(a), 'proven');
  });

  it('that are read again and are the same are used all the while', async () => {
    let identity = 'x';
    const { tokenizers, asked } = start({ loaded: () => ({ kind: 'loaded', identity, specials: [] }) });
    const a = worker('a');
    tokenizers.changed(a);
    await settle();
    const before = asked.length;
    await tokenizers.reload([a]);
    assert.ok(tokenizers.provenFor('m', [a]));
    assert.equal(asked.length, before);
    identity = 'y';
    await tokenizers.reload([a]);
    assert.equal(tokenizers.provenFor('m', [a]), undefined);
    await settle();
    assert.ok(asked.length > before);
    assert.match(tokenizers.provenFor('m', [a])?.identity ?? '', /y/);
  });

  it('are none where none is configured, and for no more models of a worker than a few', async () => {
    const { tokenizers, paths } = start();
    const a = worker('a', ['other']);
    tokenizers.changed(a);
    assert.equal(tokenizers.provenFor('other', [a]), undefined);
    assert.deepEqual(tokenizers.verdictsOf(a), []);
    for (let i = 0; i < 40; i++) {
      paths.set(`adapter ${i}`, '/m');
      tokenizers.provenFor(`adapter ${i}`, [a]);
    }
    assert.equal(tokenizers.verdictsOf(a).length, 16);
    await settle();
  });
});
