/** What a body says as values takes some ten times its bytes; only the bytes are held while a request waits. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { eventually } from '../support/fleet.ts';
import { startHook } from '../support/hook-service.ts';
import { memoryInUse } from '../support/memory.ts';
import { RawClient } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';
import { ONE_THREAD, serve } from '../support/serve.ts';

/** As many as a body may have that is parsed as a whole. */
const VALUES = 45_000;
const BESIDE = 16;
/** The router's, and what the test's own sockets and workers hold. Before, the values took another ten. */
const MOST_COPIES = 5;
/** Below what one of the bodies takes. */
const NOISE_BYTES = 64 * 1024;

function post(path: string, body: string): Buffer {
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** A body of which every third byte is a value of its own. */
function dense(before: string, model = 'sim-model'): string {
  return `{"model":"${model}","max_tokens":2,"user":"u",${before}[${'[],'.repeat(VALUES)}[]]}`;
}

/** The request as often as said, each on a connection of its own. */
async function send(port: number, request: Buffer, clients: AsyncDisposableStack): Promise<void> {
  for (let i = 0; i < BESIDE; i += 1) clients.use(await RawClient.connect(port)).send(request);
}

/** Buffers are given back beside the collection of garbage, and some are held until the next turn. */
async function settledMemory(): Promise<number> {
  let least = memoryInUse();
  // Each look is four collections of everything: no more of them than it takes.
  for (let i = 0, same = 0; i < 8 && same < 2; i += 1) {
    await setImmediate();
    const now = memoryInUse();
    same = now < least - NOISE_BYTES ? 0 : same + 1;
    least = Math.min(least, now);
  }
  return least;
}

/** Nothing of what is asked is let go of before the end, so that the costs add up. */
async function costOf(work: () => Promise<void>): Promise<number> {
  const before = await settledMemory();
  await work();
  return ((await settledMemory()) - before) / BESIDE;
}

test('while the worker is slow', async () => {
  const answers: ServerResponse[] = [];
  await using worker = await startScriptedWorker((response) => answers.push(response));
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'alias', rewrite: 'sim-model' }] },
  });
  await using clients = new AsyncDisposableStack();
  for (const [path, text] of [
    ['/v1/chat/completions', dense('"messages":')],
    ['/v1/chat/completions', dense('"messages":', 'alias')],
    ['/v1/completions', dense('"prompt":"hello","x":')],
    ['/v1/embeddings', dense('"input":"hello","x":')],
    ['/v1/messages', dense('"messages":')],
    ['/v1/responses', dense('"input":')],
  ] as const) {
    const request = post(path, text);
    const asked = answers.length;
    const cost = await costOf(async () => {
      await send(fleet.port, request, clients);
      await eventually(() => answers.length === asked + BESIDE);
    });
    assert.ok(cost < MOST_COPIES * request.length, `${path}: ${cost} bytes of memory for ${request.length}`);
  }
});

test('while the requests wait for their turn, and for a hook', async () => {
  const held: ServerResponse[] = [];
  await using worker = await startScriptedWorker((response) => held.push(response));
  await using hook = await startHook(() => undefined);
  await using queueing = await startRouter([worker], {
    router: { maxConcurrentRequests: 1, queueSize: 100 },
  });
  await using checking = await startRouter([worker], {
    router: { preRoutingHooks: [{ name: 'h', url: hook.url, timeoutMs: 60_000 }] },
  });
  await using clients = new AsyncDisposableStack();
  const request = post('/v1/chat/completions', dense('"messages":'));
  clients
    .use(await RawClient.connect(queueing.port))
    .send(post('/v1/chat/completions', '{"model":"sim-model"}'));
  await eventually(() => held.length === 1);
  for (const [router, are] of [
    [queueing, () => queueing.app.runtime.admission.queued === BESIDE],
    [checking, () => hook.calls.length === BESIDE],
  ] as const) {
    const cost = await costOf(async () => {
      await send(router.port, request, clients);
      await eventually(are);
    });
    assert.ok(cost < MOST_COPIES * request.length, `${cost} bytes of memory for ${request.length}`);
  }
});

test('nothing is held of a body while its answer streams, nor of one that another has replaced', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onHead: (request, response) => {
      request.resume().on('end', () => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
      });
    },
  });
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'alias', rewrite: 'sim-model' }] },
  });
  await using clients = new AsyncDisposableStack();
  const text = 'x'.repeat(900_000);
  for (const model of ['sim-model', 'alias']) {
    const request = post(
      '/v1/chat/completions',
      `{"model":"${model}","stream":true,"messages":[{"role":"user","content":"${text}"}]}`,
    );
    const cost = await costOf(async () => {
      for (let i = 0; i < BESIDE; i += 1) {
        const client = clients.use(await RawClient.connect(fleet.port));
        client.send(request);
        await client.seen(/data/);
      }
    });
    assert.ok(cost < text.length / 3, `${model}: ${cost} bytes of memory for ${text.length}`);
  }
});

test('what was let go of is read again: a request that has waited goes where it would have gone', async () => {
  const held: ServerResponse[] = [];
  await using ending = new AsyncDisposableStack();
  const workers: ScriptedWorker[] = [];
  for (let i = 0; i < 4; i += 1) {
    const worker = await startScriptedWorker((response, { url }) => {
      if (url.endsWith('?hold')) held.push(response);
      else response.end(String(i));
    });
    workers.push(ending.use(worker));
  }
  await using fleet = await startRouter(workers, {
    router: {
      policy: 'consistent_hash',
      hashKey: ['body:metadata.session'],
      maxConcurrentRequests: 1,
      queueSize: 100,
      modelRules: [{ match: 'alias', rewrite: 'sim-model' }],
    },
  });
  const sessions = Array.from({ length: 12 }, (_, n) => `{"metadata":{"session":"s${n}"},"messages":[]}`);
  const bodies = sessions.map((text, n) => text.replace('{', `{"model":"${n % 2 ? 'alias' : 'sim-model'}",`));
  const askFor = (body: string): Promise<string> =>
    fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body }).then((response) => response.text());
  const atOnce: string[] = [];
  for (const body of bodies) atOnce.push(await askFor(body));
  assert.ok(new Set(atOnce).size > 1);
  const first = fetch(`${fleet.url}/v1/chat/completions?hold`, { method: 'POST', body: '{"model":"alias"}' });
  await eventually(() => held.length === 1);
  const later = bodies.map(askFor);
  await eventually(() => fleet.app.runtime.admission.queued === bodies.length);
  memoryInUse();
  held[0]?.end();
  assert.deepEqual(await Promise.all(later), atOnce);
  await (await first).text();
});

test('a hundred bodies of 135 kB do not end a process with 96 MB of heap', async (t) => {
  const answers: ServerResponse[] = [];
  await using worker = await startScriptedWorker((response, { url: path }) => {
    // Its metrics are asked for as well, when the machine is slow enough.
    if (path.startsWith('/v1/')) answers.push(response);
    else response.end();
  });
  const { url, port, program } = await serve(
    t,
    [...ONE_THREAD, '--worker-urls', worker.url],
    ['--max-old-space-size=96'],
  );
  const request = post('/v1/chat/completions', dense('"messages":'));
  while (!(await fetch(`${url}/readiness`)).ok) await setImmediate();
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
  for (const client of clients) client.send(request);
  await eventually(() => answers.length === clients.length || program.child.exitCode !== null, 20_000);
  assert.equal(program.child.exitCode, null);
  for (const answer of answers) answer.end('{}');
  for (const client of clients) {
    const response = await client.response();
    assert.equal(response.status, 200, response.body.toString());
    await client[Symbol.asyncDispose]();
  }
});
