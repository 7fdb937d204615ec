/** The server as a process: it listens at once, says when it is ready, and gives up loudly when it cannot work. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { run } from '../programs.ts';
import { chat } from '../support/chat.ts';
import { LAUNCHER, ROOT, serve } from '../support/serve.ts';

function launch(...flags: string[]): ReturnType<typeof run> {
  return run(process.execPath, [LAUNCHER, '--no-metrics', ...flags], { cwd: ROOT });
}

async function readiness(url: string): Promise<number> {
  return (await fetch(`${url}/readiness`)).status;
}

test('it listens at once and is ready when the first worker is', async (t) => {
  const worker = await startSimWorker({ timeScale: 0.05, faults: ['status:code=503,path=/health'] });
  t.after(() => worker.stop());
  const { url, program } = await serve(t, ['--worker-urls', worker.url]);
  assert.equal((await fetch(`${url}/liveness`)).status, 200);
  assert.equal(await readiness(url), 503);
  assert.equal((await chat({ url })).status, 503);
  await worker.setFaults([]);
  await program.printed(/worker is healthy/);
  assert.equal(await readiness(url), 200);
  assert.equal((await chat({ url })).status, 200);
});

test('it gives up when no worker becomes healthy in time', async (t) => {
  const worker = await startSimWorker({ faults: ['refuse'] });
  t.after(() => worker.stop());
  const { status, stdout } = await launch(
    ...['--port', '0', '--worker-urls', worker.url, '--worker-startup-timeout-secs', '0.3'],
  );
  assert.equal(status, 1);
  assert.match(stdout, /no worker became healthy in time/);
});

test('a gateway starts without workers, and does not give up for want of them', async (t) => {
  const worker = await startSimWorker({ timeScale: 0.05 });
  t.after(() => worker.stop());
  const { url, program } = await serve(t, ['--enable-igw', '--worker-startup-timeout-secs', '0.1']);
  const uptime = async (): Promise<number> => {
    const stats = (await (await fetch(`${url}/admin/stats`)).json()) as { readonly uptime_secs: number };
    return stats.uptime_secs;
  };
  while ((await uptime()) < 0.3) assert.equal(await readiness(url), 503);
  const body = JSON.stringify({ url: worker.url, model_id: 'sim-model' });
  assert.equal((await fetch(`${url}/workers`, { method: 'POST', body })).status, 202);
  await program.printed(/worker is healthy/);
  assert.equal((await chat({ url })).status, 200);
});

test('one healthy worker of two is enough', async (t) => {
  const workers = await Promise.all([
    startSimWorker({ faults: ['refuse'] }),
    startSimWorker({ timeScale: 0.05 }),
  ]);
  t.after(() => Promise.all(workers.map((worker) => worker.stop())));
  const { url, program } = await serve(t, [
    ...['--worker-urls', ...workers.map((worker) => worker.url)],
    ...['--worker-startup-timeout-secs', '0.5'],
  ]);
  await program.printed(/worker is healthy/);
  for (let turn = 0; turn < 4; turn += 1) {
    const response = await chat({ url });
    assert.equal(response.status, 200);
    await response.text();
  }
});

test('what keeps it from starting is said in one line with its flag, exit code 1', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const dir = await mkdtemp(join(tmpdir(), 'vllm-router-start-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'file');
  await writeFile(file, '');
  const taken = `cannot listen on 127.0.0.1:${port}`;
  for (const [flags, line] of [
    [['--port', String(port)], `${taken} (--port): the port is taken`],
    [['--metrics', '--prometheus-port', String(port)], `${taken} (--prometheus-port): the port is taken`],
    // With what tries to listen beside it.
    [
      ['--port', String(port), '--policy', 'kv_aware', '--kv-events-bind', `tcp://127.0.0.1:${port}`],
      `${taken} (--port): the port is taken`,
    ],
    [
      ['--host', '192.0.2.1', '--insecure'],
      'cannot listen on 192.0.2.1:0 (--host): this machine has no such address',
    ],
    [
      ['--metrics', '--prometheus-port', '0', '--prometheus-host', '192.0.2.1'],
      'cannot listen on 192.0.2.1:0 (--prometheus-host): this machine has no such address',
    ],
    [
      ['--decision-log-export-path', dir],
      `cannot write the decision log ${dir} (--decision-log-export-path): it is a directory`,
    ],
    [
      ['--decision-log-export-path', join(file, 'x')],
      `cannot write the decision log ${file}/x (--decision-log-export-path): a part of the path is no directory`,
    ],
    [
      ['--log-dir', join(file, 'x')],
      `cannot write logs to ${file}/x (--log-dir): a part of the path is no directory`,
    ],
  ] as const) {
    const port0 = flags.some((flag) => flag === '--port') ? [] : ['--port', '0'];
    const metrics = flags.some((flag) => flag === '--metrics') ? [] : ['--no-metrics'];
    const argv = [LAUNCHER, ...flags, ...port0, ...metrics, '--worker-urls', 'http://127.0.0.1:9'];
    const { status, stderr } = await run(process.execPath, argv, { cwd: ROOT });
    assert.deepEqual([stderr, status], [`vllm-router: ${line}\n`, 1]);
  }
});

const REFUSED: readonly (readonly [flags: string[], line: RegExp])[] = [
  [['--polcy', 'random'], /^vllm-router: .*--polcy.*--policy.*\n$/],
  [['--policy', 'fastest'], /^vllm-router: .*--policy.*\n$/],
  [['--port', 'http'], /^vllm-router: .*--port.*\n$/],
  [['--worker-urls', 'ftp://worker:8000'], /^vllm-router: .*--worker-urls.*ftp:\/\/worker:8000.*\n$/],
  [['--worker-urls', 'http://worker:8000/v1'], /^vllm-router: .*drop \/v1.*\n$/],
  [['--worker-urls', 'http://a:1', 'http://a:1/'], /^vllm-router: .*http:\/\/a:1.*\n$/],
  [['--worker-urls'], /^vllm-router: --worker-urls: needs a value\n$/],
  [['--service-discovery'], /^vllm-router: .*--service-discovery.*\n$/],
];
for (const [flags, line] of REFUSED) {
  test(`${flags.join(' ')}: one line that names it, exit code 2`, async () => {
    const { status, stdout, stderr } = await launch(...flags);
    assert.equal(status, 2);
    assert.match(stderr, line);
    assert.equal(stdout, '');
  });
}

test('a bad key in a file: one line with its place, exit code 2', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vllm-router-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'router.yaml');
  await writeFile(file, 'policy:\n  type: random\nretry:\n  max_retrys: 3\n');
  const { status, stderr } = await launch('--config-file', file);
  assert.equal(status, 2);
  assert.match(stderr, /^vllm-router: .*router\.yaml:4:3.*max_retrys.*max_retries.*\n$/);
});
