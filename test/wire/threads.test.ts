/** Several threads, one router: what is counted, bounded and switched is so for all of them, and one that dies takes its own alone. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it, test, type TestContext } from 'node:test';
import { CHAT } from '../support/chat.ts';
import { answeringWorkers } from '../support/fleet-shape.ts';
import { startFleet, eventually, type Fleet } from '../support/fleet.ts';
import { startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';
import { RawClient } from '../support/raw-client.ts';
import { start } from '../programs.ts';
import { LAUNCHER, ROOT, serve } from '../support/serve.ts';

const STREAMS = 200;

function chatBytes(fields: object): Buffer {
  const body = JSON.stringify({ ...CHAT, ...fields });
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

async function connections(port: number, count: number, stack: AsyncDisposableStack): Promise<RawClient[]> {
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(port)));
  for (const client of clients) stack.use(client);
  return clients;
}

/** A worker whose streams begin, and end when they are told to. */
async function openStreams(): Promise<{ readonly worker: ScriptedWorker; readonly finish: () => void }> {
  const streams: ServerResponse[] = [];
  const worker = await startScriptedWorker((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
    streams.push(response);
  });
  return {
    worker,
    finish: () => {
      for (const stream of streams) stream.end('data: [DONE]\n\n');
    },
  };
}

/** How a stream ends: whole, or with its connection. */
async function endOf(client: RawClient): Promise<'whole' | 'cut'> {
  try {
    const { body } = await client.response();
    return body.includes('data: [DONE]') ? 'whole' : 'cut';
  } catch {
    return 'cut';
  }
}

function inFlight(fleet: Fleet): number {
  return fleet.app.runtime.admission.inFlight;
}

/** Requests that workers are to answer. */
function onWorkers(fleet: Fleet): number {
  const { ledger } = fleet.app.runtime;
  return answeringWorkers(fleet).reduce((sum, { slot }) => sum + ledger.own(slot), 0);
}

describe('a thread that dies', () => {
  it('under 200 streams takes its own with it, and gives back what it held within a second', async () => {
    await using stack = new AsyncDisposableStack();
    const { worker, finish } = await openStreams();
    stack.use(worker);
    await using fleet = await startFleet({
      workers: [],
      extraWorkerUrls: [worker.url],
      router: { threads: 2 },
    });
    const clients = await connections(fleet.port, STREAMS, stack);
    for (const client of clients) client.send(chatBytes({ stream: true }));
    await Promise.all(clients.map((client) => client.seen(/data: /)));
    assert.equal(inFlight(fleet), STREAMS);
    const ends = clients.map(endOf);
    const lost = new Promise((resolve) => fleet.threads?.channels.onEnded(resolve));
    const diedAt = performance.now();
    await fleet.threads?.replace(1, 'fault');
    assert.equal(await lost, 1);
    let cut = 0;
    for (const end of ends) void end.then((how) => (cut += how === 'cut' ? 1 : 0));
    await eventually(
      () => cut > 0 && inFlight(fleet) === STREAMS - cut && onWorkers(fleet) === STREAMS - cut,
    );
    assert.ok(performance.now() - diedAt < 1_000, `${performance.now() - diedAt} ms`);
    finish();
    const all = await Promise.all(ends);
    const whole = all.filter((how) => how === 'whole').length;
    assert.equal(whole + cut, STREAMS);
    assert.ok(whole > 0 && cut > 0, `${whole} whole, ${cut} cut`);
    await eventually(() => inFlight(fleet) === 0 && onWorkers(fleet) === 0);
  });

  it('is replaced, and the next one serves as it was last configured', async () => {
    await using fleet = await startFleet({ router: { threads: 2 }, reloadable: true });
    await using stack = new AsyncDisposableStack();
    fleet.app.runtime.policies.switchTo({ type: 'round_robin' });
    await fleet.threads?.replace(2, 'fault');
    await eventually(() => fleet.threads?.running === 2);
    const clients = await connections(fleet.port, 16, stack);
    for (const client of clients) client.send(chatBytes({}));
    for (const client of clients) assert.equal((await client.response()).status, 200);
  });
});

describe('two threads', () => {
  it('let in no more than the router may, and count what they served as one', async () => {
    const most = 7;
    await using fleet = await startFleet({
      workers: [{}, {}],
      router: { threads: 2, maxConcurrentRequests: most, queueSize: 1000 },
    });
    await using stack = new AsyncDisposableStack();
    const clients = await connections(fleet.port, 60, stack);
    let highest = 0;
    const watch = setInterval(() => (highest = Math.max(highest, onWorkers(fleet))), 1);
    stack.defer(() => clearInterval(watch));
    for (const client of clients) client.send(chatBytes({ max_tokens: 8 }));
    for (const client of clients) assert.equal((await client.response()).status, 200);
    assert.ok(highest > 1 && highest <= most, `${highest}`);
    await eventually(() => inFlight(fleet) === 0);
    const metrics = await fleet.metrics();
    assert.match(metrics, /^vllm_router_requests_total\{route="\/v1\/chat\/completions"\} 60$/m);
    assert.match(metrics, /^vllm_router_threads\{state="running"\} 2$/m);
    assert.equal((await fleet.app.allDecisions(100)).length, 60);
  });

  it('share the connections of clients, as a metric shows', async () => {
    await using fleet = await startFleet({ router: { threads: 2 } });
    await using stack = new AsyncDisposableStack();
    const clients = await connections(fleet.port, 256, stack);
    for (const client of clients) client.send('GET /liveness HTTP/1.1\r\nHost: r\r\n\r\n');
    for (const client of clients) assert.equal((await client.response()).status, 200);
    const metrics = await fleet.metrics();
    const counts = [1, 2].map((thread) => {
      const [, count] =
        new RegExp(`^vllm_router_thread_connections\\{thread="${thread}"\\} (\\d+)$`, 'm').exec(metrics) ??
        [];
      return Number(count);
    });
    assert.equal(
      counts.reduce((sum, one) => sum + one, 0),
      256,
    );
    for (const count of counts) assert.ok(count > 64, counts.join());
  });
});

test('a second router on the same port does not start', async (t: TestContext) => {
  const first = await serve(t, ['--worker-urls', 'http://127.0.0.1:9', '--threads', '2']);
  const again = [
    '--worker-urls',
    'http://127.0.0.1:9',
    '--no-metrics',
    '--threads',
    '2',
    '--port',
    String(first.port),
  ];
  const second = await start(t, process.execPath, [LAUNCHER, ...again], { cwd: ROOT }).ended;
  assert.equal(second.status, 1);
  assert.match(second.stderr, new RegExp(`:${first.port} \\(--port\\): the port is taken`));
});
