/** Workers behind TLS: whom the router believes, what it shows them, and what it says when that fails. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';
import { configFromOptions } from '../../src/config/load/load.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { CHAT, pieces, post, workerOf } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { RawClient } from '../support/raw-client.ts';
import { answerJson, startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { authority } from '../support/self-signed.ts';
import { certificateFiles } from '../support/tls.ts';

const complete = (fleet: Fleet): Promise<Response> =>
  post(fleet, '/v1/completions', { model: 'sim-model', prompt: 'hi' });

/** The socket for what it is. */
function tlsOf(socket: Socket): TLSSocket {
  assert.ok(socket instanceof TLSSocket);
  return socket;
}

/** A router whose only worker is not healthy, once it is known why. */
async function reasonOf(url: string, router: Omit<RouterOptions, 'workerUrls'> = {}): Promise<string> {
  await using fleet = await startFleet({
    workers: [],
    extraWorkerUrls: [url],
    waitForWorkers: false,
    router,
  });
  const worker = fleet.app.runtime.registry.workers[0]!;
  await eventually(() => worker.health.reason !== undefined);
  assert.equal((await complete(fleet)).status, 503);
  const shown = await adminOf(fleet)('GET', `/workers/${encodeURIComponent(url)}`);
  assert.match(JSON.stringify(shown.body), new RegExp(worker.health.reason?.replaceAll(/[()]/g, '.') ?? ''));
  return worker.health.reason ?? '';
}

test('a worker that a stranger vouches for, an expired one and one with another name are not used, and it is said why', async () => {
  using files = certificateFiles();
  const trusted = { workerTls: { caFile: files.write('ca.pem', files.ca.cert) } };
  const other = authority('other');
  const leaf = other.issue();
  for (const [tls, reason] of [
    [leaf, 'no known authority vouches for its certificate: UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [
      { ...leaf, cert: leaf.cert + other.cert },
      'self-signed certificate in its chain: SELF_SIGNED_CERT_IN_CHAIN',
    ],
    [files.ca.issue({ expired: true }), 'its certificate has expired: CERT_HAS_EXPIRED'],
    [
      files.ca.issue({ names: ['engine.internal'] }),
      'its certificate is for another name: ERR_TLS_CERT_ALTNAME_INVALID',
    ],
  ] as const) {
    await using worker = await startScriptedWorker(undefined, { tls });
    assert.equal(
      await reasonOf(worker.url, trusted),
      `connect_failed: no connection to the worker could be made (${reason})`,
    );
    assert.equal(worker.probes.length, 0);
  }
});

test('a worker of plain HTTP whose URL says https is not used', async () => {
  await using worker = await startScriptedWorker();
  assert.match(await reasonOf(worker.url.replace('http:', 'https:')), /it does not speak TLS/);
});

test('a certificate that expires while the worker serves: another worker takes the requests, and nobody insists', async () => {
  using files = certificateFiles();
  const close: Parameters<typeof startScriptedWorker>[0] = (response) => {
    response.setHeader('connection', 'close');
    answerJson(response);
  };
  await using first = await startScriptedWorker(close, { tls: files.ca.issue() });
  await using second = await startScriptedWorker(close, { tls: files.ca.issue() });
  await using fleet = await startRouter([first, second], {
    router: { policy: 'round_robin', workerTls: { caFile: files.write('ca.pem', files.ca.cert) } },
  });
  // Probes leave kept-alive connections behind; these are used up.
  await eventually(() => first.probes.length >= 3 && second.probes.length >= 3);
  first.renew(files.ca.issue({ expired: true }));
  for (let round = 0; round < 20; round++) assert.equal((await complete(fleet)).status, 200);
  const failed = await fleet.decision(({ attempts }) => attempts.length > 1);
  assert.deepEqual(
    failed.attempts.map(({ worker, error }) => [worker, error]),
    [
      [first.url, 'connect_failed'],
      [second.url, undefined],
    ],
  );
  const [worker] = fleet.app.runtime.registry.workers;
  await eventually(() => worker!.health.reason?.includes('its certificate has expired') === true);
});

test('where there is no other worker, one that cannot be trusted is not asked over and over', async () => {
  using files = certificateFiles();
  await using worker = await startScriptedWorker(
    (response) => {
      response.setHeader('connection', 'close');
      answerJson(response);
    },
    { tls: files.ca.issue() },
  );
  await using fleet = await startRouter([worker], {
    router: { workerTls: { caFile: files.write('ca.pem', files.ca.cert) } },
  });
  worker.renew(files.ca.issue({ expired: true }));
  let answer = await complete(fleet);
  while (answer.status === 200) answer = await complete(fleet);
  assert.equal(answer.status, 503);
  const { attempts } = await fleet.decision(({ status }) => status === 503);
  assert.ok(attempts.length <= 3, `${attempts.length} attempts`);
  assert.ok(attempts.every(({ error }) => error === 'connect_failed'));
  assert.match(fleet.app.runtime.registry.workers[0]?.health.reason ?? '', /its certificate has expired/);
  const before = worker.connections;
  for (let round = 0; round < 5; round++) assert.equal((await complete(fleet)).status, 503);
  assert.equal(worker.connections, before);
});

test('workers of a private authority serve requests, streams, uploads that go once, and WebSockets', async () => {
  using files = certificateFiles();
  await using worker = await startScriptedWorker(
    (response, { url }) => {
      if (!url.startsWith('/v1/chat')) {
        answerJson(response);
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      response.end('data: [DONE]\n\n');
    },
    {
      tls: files.ca.issue(),
      onUpgrade: (_request, socket) =>
        socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi'),
    },
  );
  await using fleet = await startRouter([worker], {
    router: { workerTls: { caFile: files.write('ca.pem', files.ca.cert) }, loadCheckIntervalSecs: 0.05 },
  });
  assert.equal(workerOf(await complete(fleet)), worker.url);
  const stream = await post(fleet, '/v1/chat/completions', { ...CHAT, stream: true });
  assert.equal(await stream.text(), 'data: 1\n\ndata: [DONE]\n\n');
  // Not in the table of routes: it gets a connection of its own.
  assert.equal((await post(fleet, '/v1/unknown', {})).status, 200);
  await using client = await RawClient.connect(fleet.port);
  client.send('GET /ws HTTP/1.1\r\nHost: r\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
  assert.equal((await client.response({ interim: true })).status, 101);
  assert.equal((await client.bytes(2)).toString(), 'hi');
  client.socket.end();
  await eventually(() => worker.received.some(({ url }) => url === '/metrics'));
});

test('a worker that asks for a certificate is shown that of the router, for probes too', async () => {
  using files = certificateFiles();
  const clients = authority('clients');
  const subjects: string[] = [];
  const tls = { ...files.ca.issue(), ca: clients.cert, requestCert: true, rejectUnauthorized: true };
  await using worker = await startScriptedWorker(undefined, {
    tls,
    onHead: (request, response) => {
      subjects.push(tlsOf(request.socket).getPeerX509Certificate()?.subject ?? 'none');
      answerJson(response);
    },
  });
  const own = clients.issue({ subject: 'the router' });
  const workerTls = {
    caFile: files.write('ca.pem', files.ca.cert),
    certFile: files.write('client.crt', own.cert),
    keyFile: files.write('client.key', own.key),
  };
  {
    await using fleet = await startRouter([worker], { router: { workerTls } });
    assert.equal((await complete(fleet)).status, 200);
    assert.deepEqual(subjects, ['CN=the router']);
  }
  const without = await reasonOf(worker.url, { workerTls: { caFile: workerTls.caFile } });
  assert.match(without, /^(worker_closed|connect_failed): /);
});

test('the name in the certificate may be another than the host in the URL', async () => {
  using files = certificateFiles();
  const names: string[] = [];
  await using worker = await startScriptedWorker(undefined, {
    tls: files.ca.issue({ names: ['engine.internal'] }),
    onHead: (request, response) => {
      // What the client asked for in its hello; the types do not know it.
      names.push(String(Reflect.get(request.socket, 'servername')));
      answerJson(response);
    },
  });
  await using fleet = await startRouter([worker], {
    router: { workerTls: { caFile: files.write('ca.pem', files.ca.cert), serverName: 'engine.internal' } },
  });
  assert.equal((await complete(fleet)).status, 200);
  assert.deepEqual(names, ['engine.internal']);
});

test('any certificate is taken where that is what somebody wants', async () => {
  await using worker = await startScriptedWorker(undefined, { tls: authority().issue({ expired: true }) });
  await using fleet = await startRouter([worker], { router: { workerTls: { insecureSkipVerify: true } } });
  assert.equal((await complete(fleet)).status, 200);
});

test('workers have settings of their own by URL, plain and Unix ones need none', async () => {
  using files = certificateFiles();
  const other = authority('other');
  const socketPath = join(files.write('x', '').replace(/x$/, ''), 'w.sock');
  await using first = await startScriptedWorker(undefined, { tls: files.ca.issue(), models: ['a'] });
  await using second = await startScriptedWorker(undefined, {
    tls: other.issue(),
    models: ['b'],
    prefix: '/team/b',
  });
  await using plain = await startScriptedWorker(undefined, { models: ['c'] });
  await using unix = await startScriptedWorker(undefined, { socketPath, models: ['d'] });
  await using fleet = await startRouter([first, second, plain, unix], {
    router: {
      workerTls: { caFile: files.write('ca.pem', files.ca.cert) },
      workerTlsOverrides: {
        [second.url.replace('/b', '')]: { caFile: files.write('other.pem', other.cert) },
      },
    },
  });
  for (const [model, worker] of [
    ['a', first],
    ['b', second],
    ['c', plain],
    ['d', unix],
  ] as const) {
    const response = await post(fleet, '/v1/completions', { model, prompt: 'hi' });
    assert.equal(workerOf(response), worker.url);
  }
});

test('workers that are registered later are looked at in the same way', async () => {
  using files = certificateFiles();
  await using good = await startScriptedWorker(undefined, { tls: files.ca.issue() });
  await using bad = await startScriptedWorker(undefined, { tls: authority('other').issue() });
  await using fleet = await startFleet({
    workers: [{}],
    router: {
      workerTls: { caFile: files.write('ca.pem', files.ca.cert) },
      workerStartupTimeoutSecs: 0.1,
      workerApiKeys: { 'https://127.0.0.1': 'of-the-host' },
    },
  });
  const admin = adminOf(fleet);
  await admin('POST', '/workers', { url: good.url });
  assert.equal((await settledWorker(admin, good.url)).body.is_healthy, true);
  assert.equal(good.probes[0]?.headers.authorization, 'Bearer of-the-host');
  await admin('POST', '/workers', { url: bad.url });
  const { job } = (await settledWorker(admin, bad.url)).body;
  assert.equal(job.status, 'failed');
  assert.match(JSON.stringify(job), /no known authority vouches for its certificate/);
});

test('another authority counts after a reload, and a stream under way goes on', async () => {
  using files = certificateFiles();
  const caFile = files.write('ca.pem', files.ca.cert);
  const { promise: end, resolve: finish } = Promise.withResolvers<undefined>();
  await using kept = await startScriptedWorker(
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      void end.then(() => response.end('data: [DONE]\n\n'));
    },
    { tls: files.ca.issue() },
  );
  const options = { workerTls: { caFile }, disableRetries: true };
  await using fleet = await startRouter([kept], { router: options });
  const stream = await post(fleet, '/v1/chat/completions', { ...CHAT, stream: true });
  const body = pieces(stream);
  await body.next();
  files.write('ca.pem', authority('new').cert);
  const outcome = await fleet.app.reload(
    { who: 'test', dryRun: false },
    configFromOptions({
      ...options,
      workerUrls: [kept.url],
      port: 0,
      metrics: { port: 0 },
      slowStartSecs: 0,
    }),
  );
  assert.equal(outcome.kind, 'done');
  assert.equal((await complete(fleet)).status, 502);
  finish(undefined);
  let text = '';
  for await (const piece of body) text += piece;
  assert.equal(text, 'data: [DONE]\n\n');
});
