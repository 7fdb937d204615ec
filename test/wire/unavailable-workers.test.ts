import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, type Log, type LogFields } from '../../src/observe/log.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet } from '../support/fleet.ts';

interface ServerInfo {
  readonly workers: readonly {
    readonly url: string;
    readonly is_healthy: boolean;
    readonly reason?: string;
    readonly circuit_breaker: string;
  }[];
}

/** Nothing listens on the port that is reserved for "no such service". */
const NOBODY = 'http://127.0.0.1:1';

test('a worker that cannot be reached from the start is told of once, with the reason', async () => {
  const warnings: LogFields[] = [];
  const log: Log = { ...silentLog, warn: (fields, message) => warnings.push({ ...fields, message }) };
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [NOBODY],
    waitForWorkers: false,
    log,
  });
  await eventually(() => (fleet.app.runtime.registry.get(NOBODY)?.health.failures ?? 0) >= 2);
  const told = warnings.filter(({ message }) => message === 'worker is not healthy yet');
  assert.equal(told.length, 1);
  assert.equal(told[0]?.['worker'], NOBODY);
  assert.match(String(told[0]?.['reason']), /^connect_failed/);
});

test('/get_server_info says why a worker is not in use', async () => {
  await using fleet = await startFleet({ workers: [{}], extraWorkerUrls: [NOBODY], waitForWorkers: false });
  await eventually(() => fleet.app.runtime.registry.get(NOBODY)?.health.reason !== undefined);
  // The router's own answer.
  const info = (await (await fetch(`${fleet.url}/get_server_info`)).json()) as ServerInfo;
  const worker = info.workers.find(({ url }) => url === NOBODY);
  assert.equal(worker?.is_healthy, false);
  assert.match(worker.reason ?? '', /^connect_failed/);
  assert.equal(worker.circuit_breaker, 'closed');
});

test('a request that nobody can take is told what keeps the workers away', async () => {
  await using fleet = await startFleet({ workers: [], extraWorkerUrls: [NOBODY], waitForWorkers: false });
  const response = await chat(fleet);
  assert.equal(response.status, 503);
  // The router's own error shape.
  const { error } = (await response.json()) as { error: { message: string } };
  assert.equal(error.message, 'none of the 1 workers can take the request (1 unhealthy)');
});
