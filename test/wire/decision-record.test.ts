/** One record per request, complete enough to say afterwards what was known, what was chosen, why, and what came of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, type OpenLog } from '../../src/observe/log.ts';
import type { Decision } from '../../src/request/record/decision.ts';
import { chat, CHAT, post, streamChat } from '../support/chat.ts';
import { answering, LEGS } from '../support/fleet-shape.ts';
import { eventually, startFleet } from '../support/fleet.ts';

test('of a stream', async () => {
  await using fleet = await startFleet({ router: { policy: 'least_work' } });
  const fields = { max_tokens: 8, stream_options: { include_usage: true } };
  const before = Date.now();
  const response = await streamChat(fleet, fields, { headers: { 'x-request-id': 'mine' } });
  const text = await response.text();
  const { timestamp, ...record } = await fleet.decision();
  assert.ok(Math.abs(Date.parse(timestamp) - before) < 5_000);
  const {
    ttft_ms: ttft,
    duration_ms: duration,
    total_ms: total,
    predicted_ttft_ms: predicted,
    ...rest
  } = record;
  assert.ok(ttft! > 0 && duration > 0 && total > 0 && predicted! > 0);
  // The head is held until the first byte, which is the first event.
  assert.ok(duration <= total && Math.abs(duration - ttft!) < 50, `${duration}, ${ttft}, ${total}`);
  const [attempt] = answering(rest);
  assert.ok(attempt!.duration_ms > 0 && attempt!.duration_ms <= total);
  const worker = response.headers.get('x-vllm-router-worker')!;
  const expected: Partial<Decision> = {
    schema_version: 5,
    request_id: 'mine',
    http_method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    outcome: 'ok',
    stream: true,
    requested_model: 'sim-model',
    model: 'sim-model',
    method: 'policy',
    policy: 'least_work',
    worker,
    cache_source: 'predicted',
    predicted_cached_tokens: 0,
    actual_cached_tokens: 0,
    cached_tokens_error: 0,
    completion_tokens: 8,
    queue_ms: 0,
    request_bytes: JSON.stringify({ ...CHAT, stream: true, ...fields }).length,
    response_bytes: text.length,
  };
  for (const [key, value] of Object.entries(expected)) {
    assert.deepEqual(rest[key as keyof typeof rest], value, key);
  }
  const { role: _, ...told } = attempt!;
  assert.deepEqual(told, { worker, reason: rest.reason, status: 200, duration_ms: attempt!.duration_ms });
  assert.equal(rest.attempts.length, LEGS);
  assert.match(rest.reason ?? '', /^(least_work|tie_cold)$/);
  assert.ok(rest.prompt_tokens! > 5);
  assert.equal(rest.tokens_estimated, undefined);
  assert.deepEqual(
    new Set(rest.candidates?.map((candidate) => candidate.worker)),
    new Set(fleet.workers.map(({ url }) => url)),
  );
  for (const candidate of rest.candidates ?? []) {
    assert.equal(candidate.state, 'eligible');
    assert.deepEqual([candidate.running, candidate.prefill_tokens, candidate.matched_tokens], [0, 0, 0]);
    assert.ok(candidate.score! > 0);
  }
  assert.equal(typeof rest.margin, 'number');
});

test('without usage in the answer, tokens are estimates and say so', async () => {
  await using fleet = await startFleet({});
  await (await streamChat(fleet, { max_tokens: 8 })).text();
  const { tokens_estimated: estimated, prompt_tokens: prompt } = await fleet.decision();
  assert.equal(estimated, true);
  assert.ok(prompt! > 0);
});

test('of a request with three attempts: each is there, and the rest belongs to the last', async () => {
  await using fleet = await startFleet({
    workers: [{}, {}, {}],
    router: { policy: 'power_of_two', retry: { initialBackoffMs: 1, budgetFloor: 1000 } },
  });
  await fleet.workers[0]!.setFaults(['status:code=503']);
  await fleet.workers[1]!.setFaults(['garbage']);
  let decision: Decision;
  // Who is asked first is chance.
  do {
    await (await chat(fleet)).text();
    decision = await fleet.decision();
  } while (answering(decision).length < 3);
  const [a, b, c] = fleet.workers;
  const [first, second, last] = answering(decision);
  const failed = [first!, second!];
  assert.deepEqual(new Set(failed.map(({ worker }) => worker)), new Set([a!.url, b!.url]));
  assert.ok(failed.some(({ status, error }) => status === 503 && error === undefined));
  assert.ok(failed.some(({ status, error }) => status === undefined && error === 'worker_bad_response'));
  assert.deepEqual([last?.worker, last?.status], [c!.url, 200]);
  assert.equal(decision.worker, c!.url);
  assert.equal(decision.reason, 'only_one');
  assert.deepEqual(decision.candidates?.map(({ state }) => state).sort(), ['eligible', 'tried', 'tried']);
  // Only one candidate was left: there is no runner-up, and none of an earlier choice either.
  assert.equal(decision.margin, undefined);
});

test('of a large fleet: the best eight in full, the others in numbers', async () => {
  await using fleet = await startFleet({
    workers: Array.from({ length: 12 }, () => ({})),
    router: {
      policy: 'least_work',
      healthCheck: { checkIntervalSecs: 0.02, failureThreshold: 1 },
    },
  });
  const [gone] = fleet.workers;
  await gone!.setFaults(['refuse']);
  const { registry } = fleet.app.runtime;
  const { health } = registry.get(gone!.url)!;
  await eventually(() => !health.healthy);
  await (await chat(fleet)).text();
  const { candidates, candidates_rest: rest, worker } = await fleet.decision();
  assert.equal(candidates?.length, 8 + Number(!candidates?.slice(0, 8).some((one) => one.worker === worker)));
  assert.equal(rest?.count, 12 - candidates.length);
  assert.deepEqual(rest.excluded, { unhealthy: 1 });
  assert.ok(rest.score_min! <= rest.score_median! && rest.score_median! <= rest.score_max!);
  assert.ok(candidates.some((one) => one.worker === worker));
  const scores = candidates.slice(0, 8).map(({ score }) => score!);
  assert.deepEqual(
    scores,
    scores.toSorted((left, right) => left - right),
  );
});

test('of what the router refused itself', async () => {
  await using fleet = await startFleet({ router: { unknownModel: 'reject' } });
  assert.equal((await chat(fleet, { model: 'nobody-has-it' })).status, 404);
  const {
    status,
    outcome,
    error,
    attempts,
    worker,
    candidates,
    requested_model: model,
  } = await fleet.decision();
  assert.deepEqual(
    { status, outcome, error, attempts, worker, candidates, model },
    {
      status: 404,
      outcome: 'rejected',
      error: 'model_not_found',
      attempts: [],
      worker: undefined,
      candidates: undefined,
      model: 'nobody-has-it',
    },
  );
});

test('a stored resource is found by its owner, and the record says so', async () => {
  await using fleet = await startFleet({ workers: [{}, {}, {}] });
  const created = await post(fleet, '/v1/responses', { model: 'sim-model', input: 'hello', store: true });
  const { id } = (await created.json()) as { id: string };
  const response = await fetch(`${fleet.url}/v1/responses/${id}`);
  assert.equal(response.status, 200);
  await response.text();
  const { method, reason, policy, worker, route } = await fleet.decision();
  assert.deepEqual(
    { method, reason, policy, worker, route },
    {
      method: 'owner',
      reason: 'stored_resource',
      policy: undefined,
      worker: created.headers.get('x-vllm-router-worker'),
      route: '/v1/responses/{id}',
    },
  );
});

test('the ring keeps the latest, as many as configured', async () => {
  await using fleet = await startFleet({ workers: [{}], router: { decisionRing: { maxRecords: 3 } } });
  for (let turn = 0; turn < 5; turn += 1) {
    await (await chat(fleet, {}, { headers: { 'x-request-id': `turn-${turn}` } })).text();
  }
  await eventually(() => fleet.app.runtime.decisions.total === 5);
  assert.deepEqual(
    (await fleet.app.allDecisions(10)).map(({ request_id: id }) => id),
    ['turn-2', 'turn-3', 'turn-4'],
  );
});

test('it is logged at debug level, once, without a word of the prompt', async () => {
  const lines: string[] = [];
  const sink = { write: (line: string) => void lines.push(line), close: async () => undefined, dropped: 0 };
  const opened: OpenLog = createLog({ level: 'debug', format: 'json', dir: undefined }, { console: sink });
  await using fleet = await startFleet({ log: opened.log, router: { apiKey: 'the-secret-key' } });
  const content = 'an unmistakable prompt';
  await (
    await chat(
      fleet,
      { messages: [{ role: 'user', content }] },
      { headers: { authorization: 'Bearer mine' } },
    )
  ).text();
  await eventually(() => lines.some((line) => line.includes('"decision"')));
  const records = lines
    .map((line) => JSON.parse(line) as { msg: string; decision?: Decision })
    .filter(({ msg }) => msg === 'decision');
  assert.equal(records.length, 1);
  assert.equal(records[0]?.decision?.model, CHAT.model);
  assert.equal(records[0].decision.attempts.length, LEGS);
  for (const secret of ['unmistakable', 'the-secret-key', 'Bearer mine']) {
    assert.ok(!lines.some((line) => line.includes(secret)), secret);
  }
});
