/** The decision log on disk: one line per request, whatever became of it, valid under the published schema. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readRecords } from '../../src/decisions/read-records.ts';
import { recordSchema } from '../../src/decisions/record-schema.ts';
import { ENDPOINTS } from '../../src/request/arrive/endpoints.ts';
import type { LoggedDecision } from '../../src/request/record/decision.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { decodeBlockHashes } from '../../src/routing/recorded-blocks.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf } from '../support/admin.ts';
import { chat, post, streamChat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { ONE_THREAD, serve } from '../support/serve.ts';

function logFile(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'decision-log-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return join(dir, 'decisions.jsonl');
}

function logging(exportPath: string, more: object = {}): Pick<RouterOptions, 'decisionLog'> {
  return { decisionLog: { exportPath, ...more } };
}

/** Stops the router, which brings everything to the disk, and reads it; every line is held against the schema. */
async function logged(fleet: Fleet, path: string): Promise<LoggedDecision[]> {
  await fleet.stop();
  const records = linesOf(path);
  // Threads hand over what they have a few at a time; the requests of these tests came one after the other.
  const began = ({ timestamp }: LoggedDecision): number => Date.parse(timestamp);
  return fleet.threads ? records.toSorted((one, other) => began(one) - began(other)) : records;
}

function linesOf(path: string): LoggedDecision[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => recordSchema.parse(JSON.parse(line)) as LoggedDecision);
}

const LONG = 'All work and no play makes a router dull. '.repeat(120);

test('every route of the table and what is none of them: one record each, the one that the admin port shows', async (t) => {
  const path = logFile(t);
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: logging(path) });
  const sent: string[] = [];
  const send = async (method: string, url: string): Promise<void> => {
    const id = `${method} ${url}`;
    sent.push(id);
    const response = await fetch(fleet.url + url, {
      method,
      headers: { 'x-request-id': id, 'content-type': 'application/json' },
      ...(method === 'GET'
        ? {}
        : { body: JSON.stringify({ model: 'sim-model', prompt: LONG, input: LONG }) }),
    });
    await response.text();
  };
  const rows = ENDPOINTS.filter(({ class: kind }) => kind !== 'local');
  assert.ok(rows.length > 15);
  for (const { methods, paths } of rows)
    for (const method of methods) for (const one of paths) await send(method, one.replace('{id}', 'resp_1'));
  await send('GET', '/no/such/route');
  await send('PUT', '/v1/completions');
  const { decisions } = (await adminOf(fleet)('GET', '/admin/decisions?limit=1000')).body;
  const records = await logged(fleet, path);
  assert.deepEqual(
    records.map(({ request_id: id }) => id),
    sent,
  );
  const shown = new Map<string, object>(
    (decisions as LoggedDecision[]).map((decision) => [decision.request_id, decision]),
  );
  for (const { block_hashes: hashes, block_tokens: tokens, ...record } of records) {
    assert.deepEqual(record, shown.get(record.request_id));
    assert.equal(hashes === undefined, tokens === undefined);
  }
  assert.ok(records.some(({ route, block_hashes: hashes }) => route === '/v1/completions' && hashes));
  assert.ok(records.some(({ route }) => route === 'unmatched'));
  assert.ok(records.every((record) => !('request_text' in record)));
});

test('what is refused, rejected by a hook, broken off or left by its client has a record, too', async (t) => {
  const path = logFile(t);
  await using hook = await startHook();
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      ...logging(path),
      preRoutingHooks: [{ name: 'guard', url: hook.url }],
      retry: { maxRetries: 1 },
    },
  });
  const [worker] = fleet.workers;
  const ended = (id: string) => fleet.decision(({ request_id: one }) => one === id);
  const as = (id: string): RequestInit => ({ headers: { 'x-request-id': id } });
  await (await fetch(`${fleet.url}/v1/completions`, { method: 'POST', body: '{', ...as('bad json') })).text();
  hook.answer = { action: 'reject', reason: 'no' };
  await (await chat(fleet, {}, as('rejected'))).text();
  hook.answer = { action: 'allow' };
  await worker!.setFaults(['status:code=500']);
  await (await chat(fleet, {}, as('worker error'))).text();
  await worker!.setFaults(['close:after=2']);
  await (await streamChat(fleet, {}, as('broken'))).text().catch(() => undefined);
  await worker!.setFaults(['hang']);
  const controller = new AbortController();
  const arrived = worker!.next('request');
  const left = chat(fleet, {}, { ...as('left'), signal: controller.signal });
  await arrived;
  controller.abort();
  await left.catch(() => undefined);
  await ended('left');
  const records = await logged(fleet, path);
  assert.deepEqual(
    records.map(({ request_id: id, outcome, status }) => [id, outcome, status]),
    [
      ['bad json', 'rejected', 400],
      ['rejected', 'rejected', 403],
      ['worker error', 'ok', 500],
      ['broken', 'worker_broken', 200],
      ['left', 'client_abort', 499],
    ],
  );
  assert.deepEqual(records[1]?.hooks_ran, ['guard:rejected']);
});

test('hashes are equal as far as prompts are, on every policy; the text is there when it was asked for', async (t) => {
  for (const policy of ['round_robin', 'least_work'] as const) {
    const path = logFile(t);
    await using fleet = await startFleet({
      router: { policy, ...logging(path, { includeRequestText: true }) },
    });
    const prompts = [`${LONG} one`, `${LONG} two`, `${LONG.slice(0, 2100)} other ${LONG}`, 'short'];
    for (const prompt of prompts)
      await (await post(fleet, '/v1/completions', { prompt, max_tokens: 2 })).text();
    const records = await logged(fleet, path);
    const hashes = records.map(({ block_hashes: text = '' }) => [...(decodeBlockHashes(text) ?? [])]);
    const [one = [], two = [], other = [], short = []] = hashes;
    assert.deepEqual([one.length >= 4, short.length], [true, 0]);
    assert.deepEqual(one, two);
    // One block of 512 tokens is the same, the next is not.
    assert.deepEqual(other.slice(0, 2), one.slice(0, 2));
    assert.notEqual(other[2], one[2]);
    assert.ok(records.every(({ request_text: text }, index) => text?.includes(prompts[index] ?? '?')));
  }
});

test('a stream whose answer was reported, a retry and many candidates are valid records', async (t) => {
  const path = logFile(t);
  await using fleet = await startFleet({
    workers: Array.from({ length: 10 }, () => ({})),
    router: { policy: 'least_work', retry: { initialBackoffMs: 1 }, ...logging(path) },
  });
  await (await streamChat(fleet, { stream_options: { include_usage: true } })).text();
  for (const worker of fleet.workers) await worker.setFaults(['status:code=503,times=1']);
  await (await chat(fleet)).text();
  const [streamed, retried] = await logged(fleet, path);
  assert.ok(streamed?.ttft_ms && streamed.prompt_tokens && streamed.candidates_rest?.count === 2);
  assert.ok(retried && retried.attempts.length > 1);
});

test('SIGTERM brings everything to the disk; SIGKILL loses nothing that was written', async (t) => {
  const worker = await startSimWorker({ timeScale: 0.01 });
  t.after(() => worker.stop());
  const path = logFile(t);
  // The records of several threads are on their way one after the other: a kill may be between them.
  const flags = [...ONE_THREAD, '--worker-urls', worker.url, '--decision-log-export-path', path];
  const start = async (seconds: string) => {
    const served = await serve(t, [...flags, '--decision-log-export-interval-secs', seconds]);
    await served.program.printed(/worker is healthy/);
    return served;
  };
  const ask = async (served: { url: string }, id: string): Promise<void> => {
    await (await chat(served, {}, { headers: { 'x-request-id': id } })).text();
  };

  const first = await start('3600');
  for (let n = 0; n < 5; n++) await ask(first, `first ${n}`);
  assert.equal(readFileSync(path, 'utf8'), '');
  first.program.child.kill('SIGTERM');
  assert.equal((await first.program.ended).status, 0);
  assert.equal(linesOf(path).length, 5);

  const second = await start('0.02');
  let asked = 0;
  let going = true;
  const asking = (async () => {
    for (; going; asked++) await ask(second, `second ${asked}`);
  })().catch(() => undefined);
  await eventually(() => (readFileSync(path, 'utf8').match(/\n/g)?.length ?? 0) > 30);
  const before = readFileSync(path, 'utf8');
  second.program.child.kill('SIGKILL');
  await second.program.ended;
  going = false;
  await asking;
  const after = readFileSync(path, 'utf8');
  assert.ok(after.startsWith(before));
  const { records, problemCount } = await readRecords([path]);
  assert.deepEqual(
    records.slice(5).map(({ requestId }) => requestId),
    Array.from({ length: records.length - 5 }, (_, n) => `second ${n}`),
  );
  assert.ok(records.length > 30 && problemCount === 0);
});
