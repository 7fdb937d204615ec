/** A process warms up by chats of nobody, of which nothing is seen afterwards. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Router } from '../../src/router.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { start } from '../programs.ts';
import { chat } from '../support/chat.ts';
import { LAUNCHER, ROOT } from '../support/serve.ts';

const FLAGS = ['--port', '0', '--prometheus-port', '0', '--log-format', 'json', '--log-level', 'debug'];

async function json(url: string): Promise<unknown> {
  return (await fetch(url)).json();
}

/** The series that are not of the process itself, with their values. */
async function series(url: string): Promise<ReadonlyMap<string, number>> {
  const lines = (await (await fetch(url)).text())
    .split('\n')
    .filter((line) => line.startsWith('vllm_router'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

test('it leaves no trace but one line, and what comes afterwards is counted from nothing', async (t) => {
  const worker = await startSimWorker({ timeScale: 0.05 });
  t.after(() => worker.stop());
  const program = start(t, process.execPath, [LAUNCHER, ...FLAGS, '--worker-urls', worker.url], {
    cwd: ROOT,
  });
  const [, url = '', metricsUrl = ''] = await program.printed(/"url":"([^"]+)","metrics":"([^"]+)"/);
  await program.printed(/worker is healthy/);
  const [line = ''] = await program.printed(/.*"msg":"warmed up".*/);
  const { end, chats } = JSON.parse(line) as { readonly end: string; readonly chats: number };
  assert.equal(end, 'done');
  assert.ok(chats >= 20, `${chats} chats`);

  assert.equal((await fetch(`${url}/readiness`)).status, 200);
  const { workers } = (await json(`${url}/workers`)) as {
    readonly workers: readonly { readonly url: string }[];
  };
  assert.deepEqual(
    workers.map((one) => one.url),
    [worker.url],
  );
  assert.deepEqual(((await json(`${url}/admin/decisions`)) as { readonly decisions: unknown }).decisions, []);
  const before = await series(metricsUrl);
  assert.deepEqual(
    [...before].filter(([name, value]) => /chat\/completions|warm-up/.test(name) && value > 0),
    [],
  );
  assert.equal((await chat({ url })).status, 200);
  const after = await series(metricsUrl);
  const counted = [...after].filter(([name]) =>
    /^vllm_router_requests_total\{.*chat\/completions/.test(name),
  );
  assert.deepEqual(
    counted.map(([, value]) => value),
    [1],
  );
  program.child.kill('SIGTERM');
  const { stdout } = await program.ended;
  const requests = stdout.split('\n').filter((text) => /"info".*chat\/completions/.test(text));
  assert.equal(requests.length, 1, requests.join('\n'));
});

test('a router inside another program warms up where it is told to, and not else', async (t) => {
  const logDir = await mkdtemp(join(tmpdir(), 'vllm-router-'));
  t.after(() => rm(logDir, { recursive: true }));
  const linesOf = async (options: { readonly warmUp?: boolean }): Promise<number> => {
    const dir = await mkdtemp(join(logDir, 'log-'));
    const quiet = { port: 0, metrics: { enabled: false }, logLevel: 'debug', logDir: dir } as const;
    const router = new Router({ workerUrls: ['http://127.0.0.1:9'], ...quiet, ...options });
    await router.start();
    await router.stop();
    const [file = ''] = await readdir(dir);
    return (await readFile(join(dir, file), 'utf8')).split('"warmed up"').length - 1;
  };
  assert.deepEqual([await linesOf({}), await linesOf({ warmUp: true })], [0, 1]);
});

test('the demo warms up like the server, and not where it is told not to', async (t) => {
  for (const { flag, lines } of [
    { flag: '--warm-up', lines: 1 },
    { flag: '--no-warm-up', lines: 0 },
  ]) {
    const program = start(t, process.execPath, [LAUNCHER, 'demo', ...FLAGS, flag], { cwd: ROOT });
    await program.printed(/Ctrl-C/);
    if (lines > 0) await program.printed(/"end":"done".*"msg":"warmed up"/);
    program.child.kill('SIGINT');
    const { stdout } = await program.ended;
    assert.equal(stdout.match(/"msg":"warmed up"/g)?.length ?? 0, lines);
  }
});
