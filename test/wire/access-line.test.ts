/** One line per request, whatever became of it, and none for the checks of load balancers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, type Log } from '../../src/observe/log.ts';
import { chat, readBody, streamChat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly request_id?: string;
  readonly [field: string]: unknown;
}

interface Capture {
  readonly log: Log;
  /** Access lines so far. */
  readonly access: () => Line[];
}

function capture(level: 'info' | 'debug' = 'info'): Capture {
  const lines: Line[] = [];
  const { log } = createLog(
    { level, format: 'json', dir: undefined },
    {
      console: {
        write: (line) => void lines.push(JSON.parse(line) as Line),
        close: async () => undefined,
        dropped: 0,
      },
    },
  );
  return { log, access: () => lines.filter(({ outcome }) => outcome !== undefined) };
}

function named(id: string): RequestInit {
  return { headers: { 'x-request-id': id } };
}

test('each end of a request has its one line, at its level', async () => {
  const { log, access } = capture();
  await using fleet = await startFleet({
    log,
    workers: [{}],
    router: {
      ...{ maxConcurrentRequests: 1, queueSize: 0, disableRetries: true, policy: 'round_robin' },
      // So that the router must read bodies.
      modelRules: [{ match: 'other', rewrite: 'sim-model' }],
    },
  });
  const [worker] = fleet.workers;
  await readBody(await chat(fleet, {}, named('well')));
  await readBody(await streamChat(fleet, {}, named('stream')));
  await worker!.setFaults(['status:code=400']);
  await readBody(await chat(fleet, {}, named('refused')));
  await worker!.setFaults(['close']);
  await readBody(await chat(fleet, {}, named('closed')));
  await worker!.setFaults(['reset:after=2']);
  await readBody(await streamChat(fleet, {}, named('broken')));
  await readBody(
    await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body: '{', ...named('nonsense') }),
  );
  await readBody(await fetch(`${fleet.url}/metrics`, named('hidden')));

  await worker!.setFaults(['hang']);
  const controller = new AbortController();
  const arrived = worker!.next('request');
  const leaving = chat(fleet, {}, { ...named('left'), signal: controller.signal });
  await arrived;
  await readBody(await chat(fleet, {}, named('too-many')));
  controller.abort();
  await assert.rejects(leaving);
  await eventually(() => access().length === 9);

  const ends = access().map(
    ({ request_id: id, level, status, outcome, error, msg, worker: url, http_method: method }) => {
      assert.equal(
        typeof url,
        ['nonsense', 'hidden', 'too-many'].includes(id ?? '') ? 'undefined' : 'string',
      );
      assert.equal(method, id === 'hidden' ? 'GET' : 'POST');
      return [id, level, status, outcome, error, msg.replace(/^\S+ /, '')];
    },
  );
  assert.deepEqual(ends, [
    ['well', 'info', 200, 'ok', undefined, '200 ok'],
    ['stream', 'info', 200, 'ok', undefined, '200 ok'],
    ['refused', 'warn', 400, 'ok', undefined, '400 from the worker'],
    ['closed', 'error', 502, 'worker_broken', 'worker_closed', '502 worker_broken: worker_closed'],
    ['broken', 'error', 200, 'worker_broken', 'worker_closed', '200 worker_broken: worker_closed'],
    ['nonsense', 'warn', 400, 'rejected', 'invalid_json', '400 rejected: invalid_json'],
    ['hidden', 'warn', 404, 'rejected', 'route_not_found', '404 rejected: route_not_found'],
    ['too-many', 'warn', 429, 'rejected', 'queue_full', '429 rejected: queue_full'],
    ['left', 'warn', 499, 'client_abort', 'client_closed', '499 client_abort'],
  ]);
});

test('retries are in the line, not lines of their own', async () => {
  const { log, access } = capture();
  await using fleet = await startFleet({
    log,
    workers: [{ faults: ['status:code=503'] }, {}],
    router: { policy: 'round_robin', retry: { initialBackoffMs: 1 } },
  });
  await readBody(await chat(fleet));
  await eventually(() => access().length > 0);
  const [line, ...more] = access();
  assert.equal(more.length, 0);
  assert.equal(line?.['attempts'], 2);
  assert.equal(line?.['worker'], fleet.workers[1]!.url);
});

test('the checks of load balancers are told at debug only, good or bad', async () => {
  for (const [level, expected] of [
    [
      'debug',
      [
        ['debug', '/liveness 200 ok'],
        ['debug', '/readiness 503'],
        ['debug', '/health 503'],
        ['warn', '/health 405 rejected: method_not_allowed'],
      ],
    ],
    ['info', [['warn', '/health 405 rejected: method_not_allowed']]],
  ] as const) {
    const { log, access } = capture(level);
    await using fleet = await startFleet({ log, workers: [] });
    assert.equal((await fetch(`${fleet.url}/liveness`)).status, 200);
    assert.equal((await fetch(`${fleet.url}/readiness`)).status, 503);
    assert.equal((await fetch(`${fleet.url}/health`)).status, 503);
    assert.equal((await fetch(`${fleet.url}/version`)).status, 200);
    assert.equal((await fetch(`${fleet.url}/health`, { method: 'DELETE' })).status, 405);
    await eventually(() => access().length >= expected.length);
    assert.deepEqual(
      access().map(({ level: at, msg }) => [at, msg]),
      expected,
    );
  }
});

test('it can be switched off', async () => {
  const { log, access } = capture();
  await using fleet = await startFleet({ log, workers: [{}], router: { accessLog: false } });
  await readBody(await chat(fleet));
  await fleet.decision();
  assert.equal(access().length, 0);
});
