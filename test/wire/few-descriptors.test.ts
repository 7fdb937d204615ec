/**
 * A router that may open few files: what it cannot open a connection for is refused in its own name. It is never the
 * workers' fault, and who looks after the router still gets through.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { run, start, type Program } from '../programs.ts';
import { eventually } from '../support/fleet.ts';
import { headerValue, RawClient } from '../support/raw-client.ts';
import { answerJson, startScriptedWorker, type Script } from '../support/scripted-worker.ts';
import { LAUNCHER, ROOT } from '../support/serve.ts';

interface Limited {
  readonly program: Program;
  readonly port: number;
  readonly metricsUrl: string;
}

/** `vllm-router` in a process that may have so many files open. */
async function serveWith(t: TestContext, openFiles: number, flags: readonly string[]): Promise<Limited> {
  const command = [
    process.execPath,
    LAUNCHER,
    '--port',
    '0',
    '--prometheus-port',
    '0',
    '--log-format',
    'json',
  ];
  const program = start(t, 'bash', ['-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, ...command, ...flags], {
    cwd: ROOT,
  });
  const [, port = '', metricsUrl = ''] = await program.printed(
    /"url":"http:\/\/127\.0\.0\.1:(\d+)","metrics":"(http[^"]+)"/,
  );
  return { program, port: Number(port), metricsUrl };
}

const BODY = '{"model":"sim-model","prompt":"hello"}';
const REQUEST = `POST /v1/completions HTTP/1.1\r\nHost: router\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

/** Sends one request on a connection of its own; `lost` where that was closed without an answer. */
async function burstRequest(
  port: number,
): Promise<{ status: number; body: string; retry?: string | undefined }> {
  await using client = await RawClient.connect(port);
  client.send(REQUEST);
  try {
    const { status, body, headers } = await client.response();
    return { status, body: body.toString(), retry: headerValue(headers, 'retry-after') };
  } catch {
    return { status: 0, body: 'lost' };
  }
}

test('a burst above the limit of open files is shed; workers stay healthy, metrics and admin answer', async (t) => {
  const held: ServerResponse[] = [];
  let holding = true;
  const script: Script = (response, { method }) => {
    if (holding && method === 'POST') held.push(response);
    else answerJson(response);
  };
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(script)));
  t.after(() => Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]())));
  const { port, metricsUrl, program } = await serveWith(t, 200, [
    '--worker-urls',
    ...workers.map(({ url }) => url),
    // Checks and polls fall into the burst.
    ...['--health-check-interval-secs', '1', '--load-check-interval-secs', '1', '--disable-retries'],
  ]);
  const url = `http://127.0.0.1:${port}`;
  const text = async (path: string): Promise<string> => (await fetch(path)).text();
  await program.printed(/(?:"worker is healthy"[^]*){3}/);
  // (200 - 64 reserved - 2 listeners) / 2
  await program.printed(/"max_concurrent_requests":67,.*"open_files":200/);

  let ended = 0;
  const burst = Array.from({ length: 150 }, () => burstRequest(port).finally(() => (ended += 1)));
  await eventually(() => ended + held.length >= 150);
  const before = workers.map(({ probes }) => probes.length);
  assert.match(await text(metricsUrl), /\n?vllm_router_sockets_limit\{side="client"\} 67\n/);
  assert.equal(((await (await fetch(`${url}/workers`)).json()) as { total: number }).total, 3);
  assert.equal((await fetch(`${url}/readiness`)).status, 200);
  await eventually(() => workers.every(({ probes }, index) => probes.length > (before[index] ?? 0)));
  holding = false;
  for (const response of held) answerJson(response);

  const results = await Promise.all(burst);
  const served = results.filter(({ status }) => status === 200);
  const shed = results.filter(({ status }) => status === 503);
  assert.ok(served.length > 60 && served.length <= 67, `${served.length} served`);
  assert.ok(shed.length > 0);
  for (const { body, retry } of shed) {
    assert.match(body, /"code":"out_of_sockets"/);
    assert.equal(retry, '1');
  }
  assert.deepEqual(
    results.filter(({ status, body }) => ![200, 503].includes(status) && body !== 'lost'),
    [],
  );
  // At once, without waiting for a check or a circuit.
  const after = await Promise.all(Array.from({ length: 20 }, () => burstRequest(port)));
  assert.deepEqual([...new Set(after.map(({ status }) => status))], [200]);
  const { workers: seen } = (await (await fetch(`${url}/workers`)).json()) as {
    workers: { is_healthy: boolean }[];
  };
  assert.deepEqual(
    seen.map((worker) => worker.is_healthy),
    [true, true, true],
  );
  const metrics = await text(metricsUrl);
  assert.ok(!/vllm_router_cb_outcomes_total\{[^}]*outcome="failure"\} [1-9]/.test(metrics));
});

test('connections that ask for nothing, or are slow to, make room for one that does', async (t) => {
  const worker = await startScriptedWorker(answerJson);
  t.after(() => worker[Symbol.asyncDispose]());
  const flags = ['--worker-urls', worker.url, '--header-timeout-secs', '600'];
  const { port, program } = await serveWith(t, 200, flags);
  await program.printed(/"worker is healthy"/);
  // More than there are places for, so that some are turned away.
  const silent: RawClient[] = [];
  for (let count = 0; count < 120; count += 1) {
    const client = await RawClient.connect(port);
    t.after(() => client[Symbol.asyncDispose]());
    if (count % 2 === 0) client.send('GET /v1/models HTTP/1.1\r\nHo');
    silent.push(client);
  }
  await eventually(() => silent.some(({ socket }) => socket.destroyed));
  const tooLate = AbortSignal.timeout(10_000);
  while ((await burstRequest(port)).status !== 200) assert.ok(!tooLate.aborted, 'nobody made room');
});

/** How many files a process has open. */
function openFilesOf({ child }: Program): number {
  return readdirSync(`/proc/${child.pid ?? 0}/fd`).length;
}

async function limitTo({ child }: Program, openFiles: number): Promise<void> {
  const { status, stderr } = await run('prlimit', ['--pid', String(child.pid), `--nofile=${openFiles}:`], {
    cwd: ROOT,
  });
  assert.equal(status, 0, stderr);
}

/** Asked on a connection that is there already. */
async function failures(scraper: RawClient): Promise<number> {
  scraper.send('GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n');
  const { body } = await scraper.response();
  const [, count = '0'] = /socket_shortages_total\{side="worker"\} (\d+)/.exec(body.toString()) ?? [];
  return Number(count);
}

test('when the system gives no descriptor, what is open serves, the rest is refused, and all is well at once afterwards', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('only Linux changes the limits of a running process');
    return;
  }
  const held: ServerResponse[] = [];
  let holding = false;
  const worker = await startScriptedWorker((response) => {
    if (holding) held.push(response);
    else answerJson(response);
  });
  t.after(() => worker[Symbol.asyncDispose]());
  const flags = ['--health-check-interval-secs', '1', '--load-check-interval-secs', '0', '--disable-retries'];
  const { port, program, metricsUrl } = await serveWith(t, 400, ['--worker-urls', worker.url, ...flags]);
  await program.printed(/"worker is healthy"/);
  const connect = async (to: number): Promise<RawClient> => {
    const client = await RawClient.connect(to);
    t.after(() => client[Symbol.asyncDispose]());
    return client;
  };
  const scraper = await connect(Number(new URL(metricsUrl).port));
  const clients = await Promise.all([1, 2, 3, 4, 5, 6].map(() => connect(port)));
  const codeOf = (body: Buffer): unknown =>
    (JSON.parse(body.toString()) as { error?: { code?: string } }).error?.code;
  for (const client of clients) {
    client.send(REQUEST);
    assert.equal((await client.response()).status, 200);
  }
  assert.equal(await failures(scraper), 0);
  // A connection or two to the worker are open, and from now on there is no other.
  await limitTo(program, 3);
  holding = true;
  const refusals: RawClient[] = [];
  const answers = clients.map(async (client) => {
    client.send(REQUEST);
    const answer = await client.response();
    if (answer.status === 200) return;
    refusals.push(client);
    assert.deepEqual([answer.status, codeOf(answer.body)], [503, 'out_of_sockets']);
    assert.equal(headerValue(answer.headers, 'retry-after'), '1');
  });
  await eventually(() => refusals.length + held.length === clients.length);
  assert.ok(refusals.length > 0 && held.length > 0, `${refusals.length} refused, ${held.length} served`);
  // Who comes now finds nobody, and harms nobody.
  await using third = await RawClient.connect(port);
  third.send(REQUEST);
  // Long enough for more checks than make a worker unhealthy: all of them must have failed for the router's own reasons.
  const checks = worker.probes.length;
  const before = await failures(scraper);
  while ((await failures(scraper)) < before + 4);
  assert.equal(worker.probes.length, checks);
  await limitTo(program, 400);
  holding = false;
  for (const response of held) answerJson(response);
  await Promise.all(answers);
  for (const client of refusals) {
    client.send(REQUEST);
    assert.equal((await client.response()).status, 200);
  }
  await eventually(() => worker.probes.length > checks);
  const { workers } = (await (await fetch(`http://127.0.0.1:${port}/workers`)).json()) as {
    workers: { is_healthy: boolean }[];
  };
  assert.deepEqual(
    workers.map((one) => one.is_healthy),
    [true],
  );
  assert.ok(openFilesOf(program) < 100);
});
