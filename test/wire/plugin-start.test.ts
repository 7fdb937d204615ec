/** Plugins from the command line: loaded before anything else, told, and refused in one line. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { run } from '../programs.ts';
import { CHAT, chat } from '../support/chat.ts';
import { LAUNCHER, ROOT, serve } from '../support/serve.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

const dir = mkdtempSync(join(tmpdir(), 'vllm-router-plugin-start-'));
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

const EXAMPLE = join(ROOT, 'examples/plugins/least-recently-used.ts');

function router(...args: readonly string[]) {
  return run(process.execPath, [LAUNCHER, ...args], { cwd: dir });
}

test('a configuration is checked with its plugins, and they are named', async () => {
  writeFileSync(
    join(dir, 'good.yaml'),
    `plugins: [${EXAMPLE}]\npolicy: {type: least_recently_used, max_running: 3}\n`,
  );
  const checked = await router('config', 'check', 'good.yaml');
  assert.deepEqual(
    [checked.status, checked.stdout, checked.stderr],
    [0, `good.yaml: valid\nplugin ${EXAMPLE}: policy least_recently_used\n`, ''],
  );
  const printed = await router('config', 'print', '--config-file', 'good.yaml');
  assert.match(printed.stdout, /^ {2}max_running: 3 +# good\.yaml:2$/m);
});

test('a plugin that cannot be used ends the start with one line and exit code 2', async () => {
  writeFileSync(join(dir, 'bad.mjs'), 'export default { apiVersion: 9 };');
  const started = await router('--worker-urls', 'http://127.0.0.1:1', '--plugins', './bad.mjs');
  assert.equal(started.status, 2);
  assert.match(
    started.stderr,
    /^vllm-router: --plugins: \.\/bad\.mjs is written for the plugin API version 9; [^\n]*\n$/,
  );
  assert.equal((await router('config', 'check', 'gone.yaml')).status, 2);
});

test('a plugin that other threads cannot load ends the start, with the reason', async () => {
  const source = `import { isMainThread } from 'node:worker_threads';
if (!isMainThread) throw new Error('the main thread or none');
export default { apiVersion: 1, policies: { here: { create: () => ({ choose: () => ({ kind: 'none' }) }) } } };`;
  writeFileSync(join(dir, 'main-thread.mjs'), source);
  const flags = ['--worker-urls', 'http://127.0.0.1:1', '--port', '0', '--no-metrics', '--threads', '2'];
  const started = await router(...flags, '--plugins', './main-thread.mjs');
  assert.equal(started.status, 1);
  assert.match(
    started.stderr,
    /^vllm-router: a request thread cannot start: the plugin \.\/main-thread\.mjs cannot be loaded: the main thread or none\n$/,
  );
  assert.doesNotMatch(started.stdout, /is replaced/);
});

test('the server routes by the plugin that a flag names', async (t) => {
  await using worker = await startScriptedWorker();
  const flags = ['--worker-urls', worker.url, '--plugins', EXAMPLE, '--policy', 'least_recently_used'];
  const { url, program } = await serve(t, flags);
  await program.printed(/"policy":"least_recently_used".*vllm-router listens/);
  await program.printed(/worker serves these models/);
  const response = await chat({ url }, { model: CHAT.model });
  assert.equal(response.headers.get('x-vllm-router-policy'), 'least_recently_used');
  await response.text();
});

test('a plugin that holds threads up too often, in whichever of them, is asked by none any more', async (t) => {
  await using worker = await startScriptedWorker();
  const plugin = join(dir, 'slow.mjs');
  writeFileSync(
    plugin,
    `import { definePlugin, definePolicy } from 'vllm-router';
     const choose = () => {
       const until = performance.now() + 12;
       while (performance.now() < until);
       return { kind: 'chosen', index: 0, reason: 'slow' };
     };
     export default definePlugin({ apiVersion: 1, policies: { slow: definePolicy({ create: () => ({ choose }) }) } });`,
  );
  const flags = ['--worker-urls', worker.url, '--plugins', plugin, '--policy', 'slow', '--threads', '2'];
  const { url, program } = await serve(t, flags);
  await program.printed(/worker serves these models/);
  const policies: (string | null)[] = [];
  // Each on a connection of its own, so that both threads get some.
  for (let i = 0; i < 12; i += 1) {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { connection: 'close', 'content-type': 'application/json' },
      body: '{"model":"sim-model","prompt":"hi","max_tokens":1}',
    });
    await response.arrayBuffer();
    policies.push(response.headers.get('x-vllm-router-policy'));
  }
  assert.deepEqual(policies, [...Array<string>(3).fill('slow'), ...Array<string>(9).fill('least_work')]);
});
