/** SIGTERM to a real process: nobody new, everybody there is served, and then it is gone, with exit code 0. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { chat, pieces, readBody, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { serve, type Served } from '../support/serve.ts';

interface Running extends Served {
  readonly worker: SimWorker;
  signal(): void;
}

async function startRunning(
  t: TestContext,
  flags: string[] = [],
  options: SimOptions = {},
): Promise<Running> {
  const worker = await startSimWorker({ timeScale: 0.05, ...options });
  t.after(() => worker.stop());
  const served = await serve(t, ['--worker-urls', worker.url, ...flags]);
  await served.program.printed(/worker is healthy/);
  return { ...served, worker, signal: () => served.program.child.kill('SIGTERM') };
}

/** A stream that has begun and does not end before its client leaves or its worker dies. */
async function endlessStream(running: Running): Promise<{ rest: Promise<string> }> {
  const response = await streamChat(running, { max_tokens: 100_000, min_tokens: 100_000 });
  const body = pieces(response);
  await body.next();
  const rest = async (): Promise<string> => {
    let text = '';
    try {
      for await (const piece of body) text = (text + piece).slice(-1000);
      return text;
    } catch {
      return 'cut';
    }
  };
  return { rest: rest() };
}

async function connectionTo(port: number): Promise<'accepted' | 'refused'> {
  const socket = connect(port, '127.0.0.1');
  const answer = await Promise.race([
    once(socket, 'connect').then(() => 'accepted' as const),
    once(socket, 'error').then(() => 'refused' as const),
  ]).catch(() => 'refused' as const);
  socket.destroy();
  return answer;
}

test('a stream under way is finished, new connections are refused, the exit code is 0', async (t) => {
  const running = await startRunning(t, [], { faults: ['drip:bytes=400,ms=20'] });
  const response = await streamChat(running, { max_tokens: 64 });
  running.signal();
  await running.program.printed(/stopping: open responses/);
  assert.equal(await connectionTo(running.port), 'refused');
  const { text, whole } = await readBody(response);
  assert.ok(whole);
  assert.match(text, /data: \[DONE\]\n\n$/);
  const { status, stdout } = await running.program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /"stopped"/);
});

test('during the shutdown delay it is not ready, but serves', async (t) => {
  const running = await startRunning(t, ['--shutdown-delay-secs', '1']);
  running.signal();
  await running.program.printed(/stopping: open responses/);
  const readiness = await fetch(`${running.url}/readiness`);
  assert.equal(readiness.status, 503);
  assert.equal(((await readiness.json()) as { reason: string }).reason, 'shutting down');
  assert.equal((await fetch(`${running.url}/liveness`)).status, 200);
  const response = await chat(running);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('connection'), 'close');
  await response.text();
  assert.equal((await running.program.ended).status, 0);
  assert.equal(await connectionTo(running.port), 'refused');
});

test('idle connections do not keep it alive', async (t) => {
  const running = await startRunning(t);
  const socket = connect(running.port, '127.0.0.1');
  socket.write('GET /liveness HTTP/1.1\r\nhost: router\r\n\r\n');
  await once(socket, 'data');
  const closed = once(socket, 'close');
  running.signal();
  await closed;
  assert.equal((await running.program.ended).status, 0);
});

test('who still waits for a turn is sent away, to try elsewhere', async (t) => {
  const running = await startRunning(t, ['--max-concurrent-requests', '1']);
  const { rest } = await endlessStream(running);
  const waiting = chat(running);
  // The queue is not to be seen from here: its request is there when a later one on the same loop has been answered.
  await fetch(`${running.url}/liveness`);
  running.signal();
  const response = await waiting;
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers.get('retry-after')) > 0);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'shutting_down');
  running.signal();
  assert.equal(await rest, 'cut');
  await running.program.ended;
});

test('what is still open at the shutdown timeout is cut', async (t) => {
  const running = await startRunning(t, ['--shutdown-timeout-secs', '0.3']);
  const { rest } = await endlessStream(running);
  const aborted = running.worker.next('aborted');
  running.signal();
  assert.equal(await rest, 'cut');
  await aborted;
  assert.equal((await running.program.ended).status, 0);
});

test('tunnels are cut at the shutdown timeout, not before', async (t) => {
  const running = await startRunning(t, ['--shutdown-timeout-secs', '0.5']);
  const socket = new WebSocket(`${running.url.replace('http', 'ws')}/sim/echo`);
  await once(socket, 'open');
  running.signal();
  await running.program.printed(/stopping: open responses/);
  const echoed = once(socket, 'message');
  socket.send('still there');
  const [message] = (await echoed) as [MessageEvent];
  assert.equal(message.data, 'still there');
  const [closed] = (await once(socket, 'close')) as [CloseEvent];
  assert.ok(!closed.wasClean);
  assert.equal((await running.program.ended).status, 0);
});

for (const flags of [[], ['--shutdown-delay-secs', '600']]) {
  test(`a second signal cuts everything at once ${flags.join(' ')}`, async (t) => {
    const running = await startRunning(t, flags);
    const { rest } = await endlessStream(running);
    const socket = new WebSocket(`${running.url.replace('http', 'ws')}/sim/echo`);
    await once(socket, 'open');
    running.signal();
    await running.program.printed(/stopping: open responses/);
    running.signal();
    await once(socket, 'close');
    assert.equal(await rest, 'cut');
    assert.equal((await running.program.ended).status, 0);
  });
}

test('connections that never brought a request do not hold the shutdown up', async () => {
  const fleet = await startFleet({ workers: [{}], router: { shutdownTimeoutSecs: 60 } });
  const silent = connect(fleet.port, '127.0.0.1');
  const halfway = connect(fleet.port, '127.0.0.1');
  await Promise.all([once(silent, 'connect'), once(halfway, 'connect')]);
  halfway.write('GET /health HTTP/1.1\r\nHost: r\r\n');
  await (await fetch(`${fleet.url}/liveness`)).text();
  const cut = once(silent, 'close');
  const stopped = fleet.app.stop();
  await cut;
  // A head that is under way is still waited for, and answered.
  halfway.write('\r\n');
  const [answer] = (await once(halfway, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  await stopped;
  await fleet.stop();
});
