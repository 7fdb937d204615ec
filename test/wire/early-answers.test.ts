/** A worker may answer before an upload has ended: the client gets that answer, and its connection does not stay. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { test, type TestContext } from 'node:test';
import { run } from '../programs.ts';
import { eventually, settledAt, type Fleet } from '../support/fleet.ts';
import { headerValue, RawClient, type RawResponse } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';
import { ROOT } from '../support/serve.ts';

const MB = 1_000_000;

/** Answers at once, and reads nothing. */
const refuse: RequestListener = (request, response) => {
  // Who listens without reading keeps Node from dropping the rest.
  request.on('readable', () => undefined);
  response.writeHead(404, ['content-type', 'application/json', 'content-length', '21']);
  response.end('{"detail":"NotFound"}');
};

/** What workers do with the rest of an upload that they have answered. */
const WORKERS: readonly (readonly [string, RequestListener])[] = [
  [
    'reads on',
    (request, response) => {
      refuse(request, response);
      request.removeAllListeners('readable').resume();
    },
  ],
  ['reads no more', refuse],
];

interface Upload {
  readonly path: string;
  readonly headers: string;
}

const UPLOADS: Readonly<Record<string, Upload>> = {
  'an unknown route': { path: '/unknown', headers: '' },
  audio: {
    path: '/v1/audio/transcriptions',
    headers: 'Content-Type: multipart/form-data; boundary=b\r\n',
  },
};

function upload({ path, headers }: Upload, framing: string, body: string): string {
  const length = framing === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
  const bytes = framing === 'chunked' ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
  return `POST ${path} HTTP/1.1\r\nHost: r\r\n${headers}${length}\r\n\r\n${bytes}`;
}

/** Sends all of it before it looks at what came back, as simple clients do. */
async function sendThenLook(fleet: Fleet, bytes: string): Promise<RawResponse> {
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  await new Promise<void>((resolve, reject) => {
    client.socket.once('error', reject);
    client.socket.write(bytes, 'latin1', () => resolve());
  });
  client.socket.resume();
  const response = await client.response();
  if (headerValue(response.headers, 'connection') === 'close') {
    assert.deepEqual((await client.ended()).rest.length, 0);
  } else {
    // Else it can be used again.
    client.send('GET /liveness HTTP/1.1\r\nHost: r\r\n\r\n');
    assert.equal((await client.response()).status, 200);
  }
  return response;
}

for (const [what, onHead] of WORKERS) {
  for (const [route, target] of Object.entries(UPLOADS)) {
    for (const framing of ['chunked', 'with a length']) {
      test(`a client that looks when it has sent all, a worker that ${what}: ${route}, ${framing}`, async () => {
        await using worker = await startScriptedWorker(undefined, { onHead });
        await using fleet = await startRouter([worker]);
        for (const size of [2 * MB, 20 * MB]) {
          const response = await sendThenLook(fleet, upload(target, framing, 'x'.repeat(size)));
          assert.equal(response.status, 404);
          assert.equal(response.body.toString(), '{"detail":"NotFound"}');
        }
        const decision = await fleet.decision();
        assert.deepEqual([decision.status, decision.outcome], [404, 'ok']);
        await eventually(() => openSockets(fleet.port) === 0);
      });
    }
  }
}

test('a large answer, too, reaches a client that looks when it has sent all', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onHead: (request, response) => {
      request.resume();
      response.end('y'.repeat(20 * MB));
    },
  });
  await using fleet = await startRouter([worker]);
  const response = await sendThenLook(
    fleet,
    upload({ path: '/unknown', headers: '' }, 'chunked', 'x'.repeat(20 * MB)),
  );
  assert.equal(response.body.length, 20 * MB);
});

test('an upload that goes on while its answer comes is passed on to its end', async () => {
  let received = 0;
  await using worker = await startScriptedWorker(undefined, {
    onHead: (request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).write('begun ');
      request.on('data', (piece: Buffer) => (received += piece.length));
      request.on('end', () => response.end(`${received}`));
    },
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.send('POST /unknown HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  await client.seen(/begun/);
  client.send('5\r\nworld\r\n0\r\n\r\n');
  assert.equal((await client.response()).body.toString(), 'begun 10');
  assert.equal((await client.ended()).how, 'closed');
});

test('a worker that dies in the middle of an upload', async () => {
  await using worker = await startScriptedWorker(undefined, {
    onHead: (request) => request.once('data', () => request.destroy()),
  });
  await using fleet = await startRouter([worker]);
  const response = await sendThenLook(
    fleet,
    upload({ path: '/unknown', headers: '' }, 'chunked', 'x'.repeat(20 * MB)),
  );
  assert.equal(response.status, 502);
});

test("the router's own answers to an upload that nobody has begun to read", async () => {
  await using worker = await startScriptedWorker(undefined, { onHead: () => undefined });
  await using fleet = await startRouter([worker], {
    router: { maxConcurrentRequests: 1, queueSize: 0, maxPayloadSize: 30 * MB },
  });
  await using holder = await RawClient.connect(fleet.port);
  holder.send('GET /holds-the-place HTTP/1.1\r\nHost: r\r\n\r\n');
  await eventually(() => fleet.app.runtime.admission.inFlight === 1);
  for (const [path, status] of [
    ['/unknown', 429],
    ['/sleep', 404],
    ['/health', 405],
  ] as const) {
    for (const framing of ['chunked', 'with a length']) {
      const response = await sendThenLook(fleet, upload({ path, headers: '' }, framing, 'x'.repeat(20 * MB)));
      assert.equal(response.status, status);
      assert.equal(headerValue(response.headers, 'connection'), 'close');
    }
  }
  await eventually(() => openSockets(fleet.port) === 1);
});

test('the admin routes answer such a client, too', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { adminApiKey: 'k' } });
  for (const [path, headers, status] of [
    ['/workers', '', 401],
    ['/workers', 'X-Admin-Key: k\r\n', 413],
    ['/admin/nowhere', 'X-Admin-Key: k\r\n', 413],
  ] as const) {
    for (const framing of ['chunked', 'with a length']) {
      const response = await sendThenLook(fleet, upload({ path, headers }, framing, 'x'.repeat(20 * MB)));
      assert.equal(response.status, status);
      assert.equal(headerValue(response.headers, 'connection'), 'close');
    }
  }
});

test('an answer before a body that has come does not end the connection', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  for (const [request, status] of [
    ['GET /sleep', 404],
    ['OPTIONS /v1/chat/completions', 200],
    ['GET /liveness', 200],
  ] as const) {
    client.send(`${request} HTTP/1.1\r\nHost: r\r\n\r\n`);
    const response = await client.response();
    assert.deepEqual([response.status, headerValue(response.headers, 'connection')], [status, 'keep-alive']);
  }
});

test('clients that leave, or never send the rest, keep no socket', async () => {
  await using worker = await startScriptedWorker(undefined, { onHead: refuse });
  await using fleet = await startRouter([worker], { router: { adminApiKey: 'k' } });
  const clients: RawClient[] = [];
  const begun = (path: string, headers = ''): string =>
    `POST ${path} HTTP/1.1\r\nHost: r\r\n${headers}Content-Length: ${5 * MB}\r\n\r\n${'x'.repeat(4 * MB)}`;
  for (let i = 0; i < 60; i += 1) {
    const client = await RawClient.connect(fleet.port);
    clients.push(client);
    client.send(begun(['/unknown', '/health', '/workers'][i % 3] ?? ''));
    await client.response();
    // Some leave, some end their side, some do nothing at all.
    if (i < 20) client.socket.resetAndDestroy();
    else if (i < 40) client.socket.end();
  }
  for (const { socket } of clients) if (!socket.closed) await once(socket, 'close');
  await eventually(() => openSockets(fleet.port) === 0);
  const { ledger, admission } = fleet.app.runtime;
  assert.deepEqual([ledger.openLeases, admission.inFlight], [0, 0]);
});

test('a client that ends its side and never reads what it was given keeps no socket', async () => {
  await using worker = await startScriptedWorker((response) => {
    const piece = Buffer.alloc(MB, 'y');
    const go = (): boolean => response.write(piece) && go();
    response.on('drain', go);
    go();
  });
  await using fleet = await startRouter([worker]);
  await using client = await RawClient.connect(fleet.port);
  client.socket.pause();
  client.send('GET /endless HTTP/1.1\r\nHost: r\r\n\r\n');
  await eventually(() => worker.received.length === 1);
  await settledAt(() => client.socket.bytesRead + fleet.app.runtime.ledger.openLeases);
  client.socket.end();
  await eventually(() => fleet.app.runtime.seats.taken === 0, 15_000);
});

/** Connections to a local port that the server's side still has. */
function openSockets(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/self/net/tcp', 'latin1').split('\n').slice(1);
  const [listening, timeWait] = ['0A', '06'];
  return rows.filter((row) => {
    const [, from = '', , state] = row.trim().split(/\s+/);
    return from.endsWith(local) && state !== listening && state !== timeWait;
  }).length;
}

const PYTHON = `
import http.client, sys
port, framing, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
def pieces():
    for _ in range(size // 65536): yield b'x' * 65536
for _ in range(3):
    body = pieces() if framing == 'chunked' else b'x' * size
    connection.request('POST', '/unknown', body=body, encode_chunked=framing == 'chunked',
                       headers={'Transfer-Encoding': 'chunked'} if framing == 'chunked' else {})
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
    connection.request('GET', '/liveness')
    print(connection.getresponse().read() is not None)
`;

async function python(t: TestContext): Promise<boolean> {
  const found = await run('python3', ['--version'], { cwd: ROOT }).catch(() => undefined);
  if (found?.status === 0) return true;
  t.skip('registry lacks nothing, but the machine has no python3');
  return false;
}

for (const [what, onHead] of WORKERS) {
  for (const framing of ['chunked', 'length']) {
    test(`Python's http.client, and the next requests of its connection (${what}, ${framing})`, async (t) => {
      if (!(await python(t))) return;
      await using worker = await startScriptedWorker(undefined, { onHead });
      await using fleet = await startRouter([worker]);
      const { status, stdout, stderr } = await run(
        'python3',
        ['-c', PYTHON, String(fleet.port), framing, String(20 * MB)],
        { cwd: ROOT },
      );
      assert.equal(stdout, '404 {"detail":"NotFound"}\nTrue\n'.repeat(3), stderr);
      assert.equal(status, 0);
      await eventually(() => openSockets(fleet.port) === 0);
    });
  }
}
