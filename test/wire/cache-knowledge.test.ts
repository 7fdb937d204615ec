/** From what policies know what workers have cached, and what a request says of that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminOf } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';

const HEADER = 'x-vllm-router-cache-source';
const messagesOf = (turns: number): object[] =>
  Array.from({ length: turns }, (_, turn) => ({
    role: 'user',
    content: `${turn}: tell me of routers and what they know. `.repeat(20),
  }));
const story = (turns: number): object => ({ messages: messagesOf(turns) });

/** Header and record of one more turn, which is over. */
async function turn(fleet: Fleet, turns: number, fields: object = {}) {
  const answer = await chat(fleet, { ...story(turns), ...fields });
  assert.equal(answer.status, 200);
  await answer.text();
  return { worker: workerOf(answer), header: answer.headers.get(HEADER), record: await fleet.decision() };
}

test('kv_aware goes by token ids: what it predicts is what the worker finds', async () => {
  await using fleet = await startFleet({ workers: [{}, {}, {}], router: { policy: 'kv_aware' } });
  const first = await turn(fleet, 1);
  assert.deepEqual([first.record.reason, first.record.predicted_cached_tokens], ['least_loaded_cold', 0]);
  // Those of the same chat are in the router's own cache; what has another end shares the beginning.
  for (const [fields, source] of [
    [{}, 'cache'],
    [{ tools: [] }, 'worker'],
    [{ messages: [...messagesOf(1), { role: 'user', content: 'And then?' }] }, 'worker'],
  ] as const) {
    const { worker, header, record } = await turn(fleet, 1, fields);
    assert.deepEqual([worker, record.reason, record.tokens_source], [first.worker, 'warmest', source]);
    assert.equal(record.cache_source, 'predicted');
    assert.equal(header, `predicted; tokens=${String(record.predicted_cached_tokens)}`);
    assert.equal(record.predicted_cached_tokens, record.actual_cached_tokens);
    assert.ok((record.predicted_cached_tokens ?? 0) > 0);
    const own = record.candidates?.find((candidate) => candidate.worker === worker);
    assert.deepEqual(
      [own?.matched_tokens, own?.matched_source],
      [record.predicted_cached_tokens, 'predicted'],
    );
  }
});

test('tokens that are late, and tokens that are not, find at least what the text alone finds', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}],
    router: { policy: 'kv_aware', tokenizeTimeoutMs: 100 },
  });
  const home = (await turn(fleet, 1)).worker;
  let before = 0;
  for (let turns = 3; turns <= 13; turns += 2) {
    const isLate = turns % 4 === 3;
    for (const worker of fleet.workers)
      await worker.setFaults(isLate ? [{ kind: 'hang', path: '/v1/chat/completions/render' }] : []);
    const { worker, record } = await turn(fleet, turns);
    assert.deepEqual([worker, record.tokens_source], [home, isLate ? 'estimate' : 'worker'], `turn ${turns}`);
    const found = record.predicted_cached_tokens ?? 0;
    assert.ok(found > before, `turn ${turns}: ${found} after ${before}`);
    before = found;
  }
});

test('a policy may be told to know nothing, for one model as for all', async () => {
  await using fleet = await startFleet({
    workers: [{ models: ['sim-model'] }, { models: ['other'] }],
    router: {
      policy: { type: 'least_work', cacheKnowledge: 'none' },
      modelPolicies: { other: { type: 'cache_aware', cache_knowledge: 'predicted' } },
    },
  });
  const blind = await turn(fleet, 1);
  const seeing = await turn(fleet, 1, { model: 'other' });
  const again = await turn(fleet, 1);
  assert.deepEqual(
    [blind, seeing, again].map(({ record, header }) => [record.cache_source, header?.split(';')[0]]),
    [
      ['none', undefined],
      ['predicted', 'predicted'],
      ['none', undefined],
    ],
  );
  assert.equal(again.record.predicted_cached_tokens, 0);
});

test('where nobody goes by it no index is kept, until a policy wants one', async () => {
  await using fleet = await startFleet({
    workers: [{}],
    router: { policy: 'least_work', cacheKnowledge: 'none' },
    onlyRegular: 'what pairs cost is reckoned by the index, whatever the policy',
  });
  await turn(fleet, 1);
  assert.equal(fleet.app.runtime.cacheIndex, undefined);
  const policy = { type: 'least_work', cache_knowledge: 'auto' };
  assert.equal((await adminOf(fleet)('PUT', '/admin/policy', { policy })).status, 200);
  await turn(fleet, 1);
  assert.equal((await turn(fleet, 1)).record.cache_source, 'predicted');
});

test('a dry run looks at tokens, too', async () => {
  await using fleet = await startFleet({ workers: [{}, {}] });
  const admin = adminOf(fleet);
  const first = await turn(fleet, 1);
  const { body } = await admin('POST', '/admin/explain', {
    ...{ path: '/v1/chat/completions', policy: 'kv_aware' },
    body: { model: 'sim-model', ...story(1) },
  });
  assert.deepEqual(
    [body.outcome, body.policy, body.worker, body.tokens_source, body.prompt_tokens],
    ['routed', 'kv_aware', first.worker, 'worker', first.record.prompt_tokens],
  );
});
