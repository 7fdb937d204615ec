/** The listener with a certificate: everything that plain HTTP does, and what can go wrong before it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { TLSSocket, type ConnectionOptions } from 'node:tls';
import { configFromOptions } from '../../src/config/load/load.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { run } from '../programs.ts';
import { CHAT, pieces, readBody } from '../support/chat.ts';
import { configured } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { authority } from '../support/self-signed.ts';
import { LAUNCHER, ROOT, serve } from '../support/serve.ts';
import { certificateFiles, tlsClient, type CertificateFiles } from '../support/tls.ts';

const FAILURES = 'vllm_router_tls_handshake_failures_total';
const REQUEST = 'GET /liveness HTTP/1.1\r\nHost: r\r\n\r\n';
const UPGRADE = `${REQUEST.slice(0, -2)}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`;
const ENDLESS = { stream: true, max_tokens: 100_000, min_tokens: 100_000 };

interface TlsFleet extends AsyncDisposable {
  readonly files: CertificateFiles;
  readonly fleet: Fleet;
  /** A client that trusts the authority. */
  readonly fetch: typeof fetch;
  readonly options: RouterOptions;
  connect(options?: ConnectionOptions): Promise<RawClient>;
}

async function start(
  more: (files: CertificateFiles) => Omit<RouterOptions, 'workerUrls'> = () => ({}),
): Promise<TlsFleet> {
  const files = certificateFiles();
  const router = { ...files.listener, ...more(files) };
  const fleet = await startFleet({ workers: [{}], router });
  const client = tlsClient({ ca: files.ca.cert });
  return {
    ...{ files, fleet, fetch: client.fetch },
    options: { ...router, ...configured(fleet) },
    connect: (options = {}) => RawClient.connectTls(fleet.port, { ca: files.ca.cert, ...options }),
    async [Symbol.asyncDispose]() {
      await client.close();
      await fleet.stop();
      files[Symbol.dispose]();
    },
  };
}

function chat({ fetch: ask, fleet }: TlsFleet, fields: object = {}): Promise<Response> {
  return ask(`${fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...CHAT, ...fields }),
  });
}

async function failures({ fleet }: TlsFleet, reason: string): Promise<number> {
  return (await scrape(fleet)).value(FAILURES, { reason });
}

const errorOf = ({ body }: RawResponse): { code: string; message: string } =>
  (JSON.parse(body.toString()) as { error: { code: string; message: string } }).error;

/** The socket for what it is. */
function tlsOf(socket: Socket): TLSSocket {
  assert.ok(socket instanceof TLSSocket);
  return socket;
}

test('a slow handshake is cut after the time for the head of a request', async () => {
  await using tls = await start(() => ({ headerTimeoutSecs: 0.2 }));
  const silent = connect(tls.fleet.port, '127.0.0.1');
  const slow = connect(tls.fleet.port, '127.0.0.1');
  // The beginning of a hello whose rest never comes.
  slow.write(Buffer.from('160301020001', 'hex'));
  for (const socket of [silent, slow]) socket.on('error', () => undefined).resume();
  await Promise.all([once(silent, 'close'), once(slow, 'close')]);
  assert.equal(await failures(tls, 'timeout'), 2);
});

test('a client of plain HTTP is told what this port speaks', async () => {
  await using tls = await start();
  await using client = await RawClient.connect(tls.fleet.port);
  client.send(REQUEST);
  const response = await client.response();
  assert.equal(response.status, 400);
  assert.deepEqual(errorOf(response), {
    code: 'invalid_request',
    message: 'this port speaks HTTPS: use https://',
    param: null,
    type: 'invalid_request_error',
  });
  await client.ended();
  assert.equal(await failures(tls, 'plain_http'), 1);
});

test('what is neither TLS nor HTTP is cut, a version that is too old is refused, a client that leaves is counted', async () => {
  await using tls = await start();
  const { port } = tls.fleet;
  await using garbage = await RawClient.connect(port);
  garbage.send(Buffer.alloc(300, 7));
  await garbage.ended();
  const outdated = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
  await assert.rejects(tls.connect(outdated), /alert protocol version/);
  const leaving = connect(port, '127.0.0.1');
  await once(leaving, 'connect');
  leaving.resetAndDestroy();
  const counted = async (): Promise<number[]> =>
    Promise.all(['no_common_version', 'closed', 'plain_http'].map((reason) => failures(tls, reason)));
  while ((await counted())[1] === 0);
  assert.deepEqual(await counted(), [2, 1, 0]);
  assert.equal((await tls.fetch(`${tls.fleet.url}/liveness`)).status, 200);
});

test('requests, streams and kept-alive connections', async () => {
  await using tls = await start();
  const answer = await chat(tls);
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { object: string }).object, 'chat.completion');
  const { text, whole } = await readBody(await chat(tls, { stream: true }));
  assert.ok(whole);
  assert.match(text, /data: \[DONE\]\n\n$/);
  await using client = await tls.connect({ ALPNProtocols: ['h2', 'http/1.1'] });
  assert.equal(tlsOf(client.socket).alpnProtocol, 'http/1.1');
  for (let round = 0; round < 3; round++) {
    client.send(REQUEST);
    assert.equal((await client.response()).status, 200);
  }
  client.send('not HTTP\r\n\r\n');
  assert.equal((await client.response()).status, 400);
  await client.ended();
});

test('a client that leaves a stream is noticed', async () => {
  await using tls = await start();
  const [worker] = tls.fleet.workers;
  const aborted = worker!.next('aborted');
  const controller = new AbortController();
  const response = await tls.fetch(`${tls.fleet.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...CHAT, ...ENDLESS }),
    signal: controller.signal,
  });
  await pieces(response).next();
  controller.abort();
  await aborted;
});

test('WebSockets pass through, and are echoed', async () => {
  await using tls = await start();
  await using client = await tls.connect();
  client.send(
    'GET /sim/echo HTTP/1.1\r\nHost: r\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  assert.equal((await client.response({ interim: true })).status, 101);
  // A masked text frame, with a mask of zeros.
  client.send(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  assert.deepEqual(await client.bytes(4), Buffer.from([0x81, 2, 0x68, 0x69]));
  client.socket.end();
});

test('the admin routes without a key answer this machine, over TLS as well', async () => {
  await using tls = await start();
  const response = await tls.fetch(`${tls.fleet.url}/admin/stats`);
  assert.equal(response.status, 200);
  await response.text();
  const page = await tls.fetch(`${tls.fleet.url}/admin/stats`, { headers: { origin: tls.fleet.url } });
  assert.equal(page.status, 200);
  await page.text();
});

const WITHOUT = { message: 'a client certificate is required', code: 'client_certificate_refused' };

async function askWith(client: RawClient, request: string): Promise<RawResponse> {
  client.send(request);
  return await client.response();
}

for (const [what, request] of [
  ['a request', REQUEST],
  [
    'a chat that wants to know first',
    REQUEST.replace('GET', 'POST').replace(
      '\r\n\r\n',
      '\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
    ),
  ],
  ['a WebSocket', UPGRADE],
  ['an admin request', REQUEST.replace('liveness', 'admin/stats')],
] as const) {
  test(`${what} without the certificate that is required is refused, and nothing else is read`, async () => {
    await using tls = await start(({ ca, ...files }) => ({
      sslCaCerts: files.write('clients.pem', ca.cert),
      sslCertReqs: 'required',
    }));
    await using client = await tls.connect();
    client.send(request + REQUEST);
    const response = await client.response();
    assert.equal(response.status, 403);
    assert.equal(headerValue(response.headers, 'connection'), 'close');
    const { code, message } = errorOf(response);
    assert.deepEqual({ code, message }, WITHOUT);
    assert.equal((await client.ended()).rest.length, 0);
    const errors = (await scrape(tls.fleet)).sum('vllm_router_request_errors_total', {
      error_type: 'client_certificate_refused',
    });
    assert.equal(errors, 1);
  });
}

test('certificates of clients: a good one, one of somebody else, an expired one, none', async () => {
  for (const sslCertReqs of ['required', 'optional'] as const) {
    await using tls = await start(({ ca, ...files }) => ({
      sslCaCerts: files.write('clients.pem', ca.cert),
      sslCertReqs,
    }));
    const { ca } = tls.files;
    const others = authority('somebody else').issue();
    const statusWith = async (options: ConnectionOptions): Promise<[number, string?]> => {
      await using client = await tls.connect(options);
      const response = await askWith(client, REQUEST);
      return response.status === 200 ? [200] : [response.status, errorOf(response).message];
    };
    assert.deepEqual(await statusWith(ca.issue({ subject: 'client' })), [200]);
    assert.deepEqual(await statusWith(others), [
      403,
      'the client certificate is not accepted: UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ]);
    assert.deepEqual(await statusWith(ca.issue({ expired: true })), [
      403,
      'the client certificate is not accepted: CERT_HAS_EXPIRED',
    ]);
    assert.deepEqual(await statusWith({}), sslCertReqs === 'optional' ? [200] : [403, WITHOUT.message]);
  }
});

test('a session that is taken up again is as good as it was, and no better', async () => {
  await using tls = await start(({ ca, ...files }) => ({
    sslCaCerts: files.write('clients.pem', ca.cert),
    sslCertReqs: 'required',
  }));
  for (const [pair, status] of [
    [tls.files.ca.issue(), 200],
    [authority('somebody else').issue(), 403],
  ] as const) {
    await using first = await tls.connect(pair);
    const sessions: Buffer[] = [];
    tlsOf(first.socket).on('session', (session: Buffer) => sessions.push(session));
    assert.equal((await askWith(first, REQUEST)).status, status);
    await eventually(() => sessions.length > 0);
    await using second = await tls.connect({ ...pair, ...(sessions[0] && { session: sessions[0] }) });
    assert.ok(tlsOf(second.socket).isSessionReused());
    assert.equal((await askWith(second, REQUEST)).status, status);
  }
});

test('a session can be taken up on any thread, and on none by other settings', async () => {
  await using tls = await start(() => ({ threads: 3 }));
  const { fleet } = tls;
  await using first = await tls.connect();
  const sessions: Buffer[] = [];
  tlsOf(first.socket).on('session', (session: Buffer) => sessions.push(session));
  await askWith(first, REQUEST);
  await eventually(() => sessions.length > 0);
  const [session] = sessions;
  assert.ok(session);
  const isTakenUp = async (): Promise<boolean> => {
    await using client = await tls.connect({ session });
    assert.equal((await askWith(client, REQUEST)).status, 200);
    return tlsOf(client.socket).isSessionReused();
  };
  // Which thread a connection comes to is the kernel's choice.
  for (let n = 0; n < 30; n++) assert.ok(await isTakenUp());
  tls.files.renew(tls.files.ca.issue());
  const outcome = await fleet.app.reload({ who: 'test', dryRun: false }, reloadable(tls.options));
  assert.equal(outcome.kind, 'done');
  for (let n = 0; n < 10; n++) assert.ok(!(await isTakenUp()));
});

test('the oldest version of TLS can be set', async () => {
  await using tls = await start(() => ({ sslMinVersion: 'TLSv1.3' }));
  await assert.rejects(tls.connect({ maxVersion: 'TLSv1.2' }), /alert|PROTOCOL/i);
  await using client = await tls.connect();
  assert.equal(tlsOf(client.socket).getProtocol(), 'TLSv1.3');
});

test('when stopping, an open stream is finished, and handshakes under way hold nothing up', async () => {
  await using tls = await start(() => ({ shutdownTimeoutSecs: 60, headerTimeoutSecs: 3600 }));
  const { fleet } = tls;
  const response = await chat(tls, { stream: true, max_tokens: 64, min_tokens: 64 });
  const body = pieces(response);
  const first = await body.next();
  const pending = connect(fleet.port, '127.0.0.1');
  await once(pending, 'connect');
  await using silent = await tls.connect();
  await using halfway = await tls.connect();
  halfway.send(REQUEST.slice(0, -2));
  await (await tls.fetch(`${fleet.url}/liveness`)).text();
  const cut = once(
    pending.resume().on('error', () => undefined),
    'close',
  );
  const stopped = fleet.app.stop();
  await Promise.all([cut, silent.ended()]);
  // A head that is under way is still waited for.
  halfway.send('\r\n');
  assert.equal((await halfway.response()).status, 200);
  let text = first.value ?? '';
  for await (const piece of body) text += piece;
  assert.match(text, /data: \[DONE\]\n\n$/);
  await stopped;
});

test('what is still open is cut at the end, handshakes and tunnels included', async () => {
  await using tls = await start();
  const broken = readBody(await chat(tls, ENDLESS));
  const pending = connect(tls.fleet.port, '127.0.0.1')
    .resume()
    .on('error', () => undefined);
  await once(pending, 'connect');
  const cut = once(pending, 'close');
  await tls.fleet.app.stop({ immediately: true });
  assert.equal((await broken).whole, false);
  await cut;
});

const serialOf = (client: RawClient): string => tlsOf(client.socket).getPeerCertificate().serialNumber;

test('a certificate that is replaced is shown to new connections, and a stream goes on', async () => {
  await using tls = await start();
  const { fleet, files, options } = tls;
  await using before = await tls.connect();
  const response = await chat(tls, { stream: true, max_tokens: 64, min_tokens: 64 });
  const body = pieces(response);
  let text = (await body.next()).value ?? '';
  files.renew(files.ca.issue());
  const outcome = await fleet.app.reload({ who: 'test', dryRun: false }, reloadable(options));
  assert.equal(outcome.kind, 'done');
  await using after = await tls.connect();
  assert.notEqual(serialOf(after), serialOf(before));
  assert.equal((await askWith(after, REQUEST)).status, 200);
  assert.equal((await askWith(before, REQUEST)).status, 200);
  for await (const piece of body) text += piece;
  assert.match(text, /data: \[DONE\]\n\n$/);
});

test('a certificate that does not fit its key is not taken over, and the reload says why', async () => {
  await using tls = await start();
  const { fleet, files, options } = tls;
  await using before = await tls.connect();
  files.write('server.crt', files.ca.issue().cert);
  const outcome = await fleet.app.reload({ who: 'test', dryRun: false }, reloadable(options));
  assert.equal(outcome.kind, 'refused');
  assert.match(
    outcome.kind === 'refused' ? outcome.message : '',
    /^sslKeyfile: .* is not the key of the first/,
  );
  await using after = await tls.connect();
  assert.equal(serialOf(after), serialOf(before));
});

test('authorities of clients that are replaced count for new connections', async () => {
  await using tls = await start(({ ca, ...files }) => ({
    sslCaCerts: files.write('clients.pem', ca.cert),
    sslCertReqs: 'required',
  }));
  const others = authority('somebody else');
  const pair = others.issue();
  tls.files.write('clients.pem', others.cert);
  await using before = await tls.connect(pair);
  assert.equal((await askWith(before, REQUEST)).status, 403);
  await tls.fleet.app.reload({ who: 'test', dryRun: false }, reloadable(tls.options));
  await using after = await tls.connect(pair);
  assert.equal((await askWith(after, REQUEST)).status, 200);
});

function reloadable(options: RouterOptions): ReturnType<typeof configFromOptions> {
  return configFromOptions({ port: 0, metrics: { port: 0 }, slowStartSecs: 0, ...options });
}

test('when the certificate ends is a metric', async () => {
  await using tls = await start();
  const ends = (await scrape(tls.fleet)).value('vllm_router_tls_certificate_expiry_timestamp_seconds');
  assert.ok(Math.abs(ends - Date.now() / 1000 - 86_400) < 60, `${ends}`);
});

test('the program says https, warns of a listener that is open to all, and reads certificates again on SIGHUP', async (t) => {
  using files = certificateFiles();
  const { sslCertfile, sslKeyfile } = files.listener;
  const config = files.write(
    'r.yaml',
    `ssl_certfile: ${sslCertfile}\nssl_keyfile: ${sslKeyfile}\nhost: 0.0.0.0\n`,
  );
  const { url, port, program } = await serve(t, [
    '--config-file',
    config,
    '--worker-urls',
    'http://127.0.0.1:9',
  ]);
  assert.match(url, /^https:/);
  await program.printed(/"level":"warn".*"host: everybody who reaches 0\.0\.0\.0 may use the workers/);
  const options = { ca: files.ca.cert };
  await using before = await RawClient.connectTls(port, options);
  files.renew(files.ca.issue());
  program.child.kill('SIGHUP');
  await program.printed(/new connections get this certificate[\s\S]*new connections get this certificate/);
  await using after = await RawClient.connectTls(port, options);
  assert.notEqual(serialOf(after), serialOf(before));
});

test('the program does not start with a certificate that is not there', async () => {
  const flags = [
    '--ssl-certfile',
    '/no/such.crt',
    '--ssl-keyfile',
    '/no/such.key',
    '--worker-urls',
    'http://a',
  ];
  const { status, stderr } = await run(process.execPath, [LAUNCHER, ...flags], { cwd: ROOT });
  assert.equal(status, 2);
  assert.equal(
    stderr,
    'vllm-router: --ssl-certfile: /no/such.crt cannot be read: there is no such file\n' +
      'vllm-router: --ssl-keyfile: /no/such.key cannot be read: there is no such file\n',
  );
});
