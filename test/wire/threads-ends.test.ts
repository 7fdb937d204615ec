/** Threads that do not begin, or do not end: what the operator sees, and that a stop does not wait for them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { run, start } from '../programs.ts';
import { CHAT } from '../support/chat.ts';
import { RawClient } from '../support/raw-client.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';
import { LAUNCHER, ROOT, serve, type Served } from '../support/serve.ts';

const dir = mkdtempSync(join(tmpdir(), 'vllm-router-threads-ends-'));
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Does what the user of a chat is: ends its thread, or never comes back. Then no other thread gets beyond its top level. */
const BAD_GUEST = `
import { isMainThread } from 'node:worker_threads';
import { existsSync, writeFileSync } from 'node:fs';
const flag = new URL('./waits', import.meta.url);
if (!isMainThread && existsSync(flag)) await new Promise(() => {});
const run = ({ bytes }) => {
  const { user } = JSON.parse(Buffer.from(bytes).toString());
  if (user === 'hangs') for (;;);
  if (user === 'ends') {
    writeFileSync(flag, '');
    setTimeout(() => { throw new Error('the guest ends it'); });
  }
  return { action: 'allow' };
};
export default { apiVersion: 1, hooks: { guest: { create: () => ({ run }) } } };
`;

async function withGuest(t: TestContext, workerUrl: string): Promise<Served> {
  const own = mkdtempSync(join(dir, 'guest-'));
  writeFileSync(join(own, 'guest.mjs'), BAD_GUEST);
  const config = { plugins: ['./guest.mjs'], pre_routing_hooks: [{ name: 'guest', plugin: 'guest' }] };
  writeFileSync(join(own, 'router.yaml'), JSON.stringify({ worker_urls: [workerUrl], ...config }));
  const served = await serve(t, ['--config-file', join(own, 'router.yaml'), '--threads', '2']);
  await served.program.printed(/worker is healthy/);
  return served;
}

async function send(port: number, user: string): Promise<void> {
  const client = await RawClient.connect(port);
  const body = JSON.stringify({ ...CHAT, user });
  client.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

test('a plugin that another thread cannot load ends the start with one line', async () => {
  const plugin = join(dir, 'main-only.mjs');
  writeFileSync(
    plugin,
    `import { isMainThread } from 'node:worker_threads';
    if (!isMainThread) throw new Error('in the main thread alone');
    export default { apiVersion: 1, hooks: { it: { create: () => ({ run: () => ({ action: 'allow' }) }) } } };`,
  );
  const flags = ['--worker-urls', 'http://127.0.0.1:9', '--port', '0', '--no-metrics', '--threads', '2'];
  const { status, stdout, stderr } = await run(
    process.execPath,
    [LAUNCHER, ...flags, '--log-format', 'json', '--plugins', plugin],
    { cwd: ROOT },
  );
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^vllm-router: a request thread cannot start: the plugin \S+ cannot be loaded: in the main thread alone$/m,
  );
  assert.doesNotMatch(stdout + stderr, /is replaced/);
});

test('a thread that does not get to serve again is not waited for at the end', async (t) => {
  await using worker = await startScriptedWorker();
  const { program, port } = await withGuest(t, worker.url);
  await send(port, 'ends');
  await program.printed(/a request thread ended, and is replaced/);
  program.child.kill('SIGTERM');
  const stopped = performance.now();
  const { status } = await program.ended;
  assert.equal(status, 0);
  // A plugin may take 30 s to load.
  assert.ok(performance.now() - stopped < 20_000, `${performance.now() - stopped} ms`);
});

test('a thread that hangs is not waited for after the second signal', async (t) => {
  await using worker = await startScriptedWorker();
  const { program, port } = await withGuest(t, worker.url);
  await send(port, 'hangs');
  // Until the hook is called.
  await new Promise((resolve) => setTimeout(resolve, 500));
  program.child.kill('SIGTERM');
  await program.printed(/a second signal cuts them/);
  program.child.kill('SIGTERM');
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout + stderr, /a request thread ended, while the router stops/);
});

test('what the system does not give a thread is said in words', async (t) => {
  const flags = ['--worker-urls', 'http://127.0.0.1:9', '--port', '0', '--no-metrics', '--threads', '24'];
  const limited = ['-c', 'ulimit -n 70; exec "$@"', 'sh', process.execPath, LAUNCHER, ...flags];
  const { status, stderr } = await start(t, '/bin/sh', limited, { cwd: ROOT }).ended;
  assert.equal(status, 1);
  assert.match(stderr, /^vllm-router: a request thread cannot start: .*(EMFILE|too many open files)/im);
});
