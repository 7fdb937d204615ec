/** A real process reads its configuration again: on SIGHUP, and when its file changes. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { stringify } from 'yaml';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf } from '../support/admin.ts';
import { chat, streamChat } from '../support/chat.ts';
import { serve } from '../support/serve.ts';

async function startWorkers(t: TestContext, count: number): Promise<string[]> {
  const workers = await Promise.all(Array.from({ length: count }, () => startSimWorker({ timeScale: 0.05 })));
  t.after(() => Promise.all(workers.map((worker) => worker.stop())));
  return workers.map(({ url }) => url);
}

function folder(t: TestContext): (name: string) => string {
  const dir = mkdtempSync(join(tmpdir(), 'vllm-router-reload-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return (name) => join(dir, name);
}

test('SIGHUP reads the file, the env file and nothing else again; flags go before both', async (t) => {
  const [a = '', b = ''] = await startWorkers(t, 2);
  const path = folder(t);
  const write = (config: object): void => {
    writeFileSync(path('router.yaml'), stringify(config));
  };
  write({ worker_urls: [a] });
  writeFileSync(path('.env'), 'VLLM_ROUTER_QUEUE_TIMEOUT_SECS=11\n');
  const served = await serve(t, [
    ...['--config-file', path('router.yaml'), '--env-file', path('.env')],
    ...['--queue-size', '5', '--log-level', 'info'],
  ]);
  const { program } = served;
  await program.printed(/worker is healthy/);
  const streaming = await streamChat(served, { max_tokens: 60, min_tokens: 60 });

  write({ worker_urls: [b], queue_size: 77 });
  writeFileSync(path('.env'), 'VLLM_ROUTER_QUEUE_TIMEOUT_SECS=22\n');
  program.child.kill('SIGHUP');
  const [line] = await program.printed(/.*configuration reloaded.*/);
  const record = JSON.parse(line) as Record<string, unknown>;
  assert.deepEqual(
    [record['action'], record['who'], record['workers_added'], record['workers_drained'], record['changed']],
    ['config.reload', 'SIGHUP', [b], [a], ['worker_urls: adopted', 'queue_timeout_secs: adopted']],
  );
  const config = (await adminOf(served)('GET', '/admin/config')).body;
  assert.deepEqual([config.queue_size, config.queue_timeout_secs], [5, 22]);
  assert.ok((await streaming.text()).trimEnd().endsWith('data: [DONE]'));

  await program.printed(new RegExp(`"worker":"${b}"[^\n]*worker is healthy`));
  write({ worker_urls: [b], queue_sice: 1 });
  program.child.kill('SIGHUP');
  const [refused] = await program.printed(/.*configuration not reloaded.*/);
  assert.match(refused, /"who":"SIGHUP".*router\.yaml:3:1.*did you mean queue_size/);
  assert.equal((await chat(served)).status, 200);
});

test('SIGHUP without a file ends nothing', async (t) => {
  const [url = ''] = await startWorkers(t, 1);
  const served = await serve(t, ['--worker-urls', url]);
  await served.program.printed(/worker is healthy/);
  served.program.child.kill('SIGHUP');
  await served.program.printed(/configuration not reloaded.*|started without a file/);
  assert.equal((await chat(served)).status, 200);
});

test('a watched ConfigMap is followed through its symbolic links, by the process and while it serves', async (t) => {
  const [a = '', b = ''] = await startWorkers(t, 2);
  const path = folder(t);
  const publish = (name: string, config: object | string): void => {
    mkdirSync(path(name));
    const text = typeof config === 'string' ? config : stringify(config);
    writeFileSync(path(`${name}/router.yaml`), text);
    symlinkSync(name, path('..data_tmp'));
    renameSync(path('..data_tmp'), path('..data'));
  };
  publish('..1', { worker_urls: [a], watch_config: true });
  symlinkSync('..data/router.yaml', path('router.yaml'));
  const served = await serve(t, ['--config-file', path('router.yaml')]);
  const { program } = served;
  await program.printed(/worker is healthy/);

  publish('..2', { worker_urls: [a, b], watch_config: true });
  rmSync(path('..1'), { recursive: true });
  const [added] = await program.printed(/.*configuration reloaded.*/);
  assert.match(added, /"who":"watch"/);
  assert.ok(added.includes(b));

  publish('..3', 'worker_urls: [\n');
  await program.printed(/configuration not reloaded/);
  assert.equal((await chat(served)).status, 200);

  // The mended file is followed as well, and says that there is nothing to watch any more.
  publish('..4', { worker_urls: [a, b], log_level: 'debug' });
  await program.printed(/log_level: applied/);
  publish('..5', { worker_urls: [a], log_level: 'debug' });
  program.child.kill('SIGHUP');
  const [last] = await program.printed(/.*"who":"SIGHUP".*configuration reloaded.*/);
  assert.ok(last.includes(b), 'the watch has ended, so that the signal found the change');
});
