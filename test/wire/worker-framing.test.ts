/** Heads of workers that say of the body what would be wrong on the client's side. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { chat } from '../support/chat.ts';
import { ask, headerValue } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

function startSaying(...pieces: readonly (string | Buffer)[]): Promise<ScriptedWorker> {
  return startScriptedWorker(({ socket }) => {
    for (const piece of pieces) socket?.write(piece);
    socket?.end();
  });
}

for (const method of ['GET', 'HEAD', 'POST']) {
  const request = `${method} /x HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n`;

  for (const length of ['0', '5']) {
    test(`${method}: a 204 loses its length of ${length}, and nothing else`, async () => {
      await using worker = await startSaying(
        `HTTP/1.1 204 No Content\r\nContent-Length: ${length}\r\nContent-Type: a/b\r\nX-Own: 1\r\n\r\n`,
      );
      await using fleet = await startRouter([worker]);
      const { status, headers } = await ask(fleet.port, request, method);
      assert.deepEqual(
        [status, headerValue(headers, 'content-length'), headerValue(headers, 'transfer-encoding')],
        [204, undefined, undefined],
      );
      assert.deepEqual([headerValue(headers, 'content-type'), headerValue(headers, 'x-own')], ['a/b', '1']);
    });
  }

  test(`${method}: a 304 keeps the length of what it stands for`, async () => {
    await using worker = await startSaying(
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: "a"\r\n\r\n',
    );
    await using fleet = await startRouter([worker]);
    const { status, headers } = await ask(fleet.port, request, method);
    assert.deepEqual([status, headerValue(headers, 'content-length')], [304, '5']);
  });
}

const PACKED = gzipSync('{"ok":true}');
for (const [coding, body] of [
  ['gzip, chunked', [`${PACKED.length.toString(16)}\r\n`, PACKED, '\r\n0\r\n\r\n']],
  ['gzip', [PACKED]],
  ['GZIP,chunked', [`${PACKED.length.toString(16)}\r\n`, PACKED, '\r\n0\r\n\r\n']],
  ['gzip\r\nTransfer-Encoding: chunked', [`${PACKED.length.toString(16)}\r\n`, PACKED, '\r\n0\r\n\r\n']],
] as const) {
  test(`a body that is compressed for the transfer is refused, not passed on as if it were none: ${coding}`, async () => {
    await using worker = await startSaying(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n`,
      ...body,
    );
    await using fleet = await startRouter([worker], { router: { disableRetries: true } });
    const response = await chat(fleet);
    assert.equal(response.status, 502);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    assert.equal(error.code, 'worker_bad_response');
    assert.match(error.message, /Transfer-Encoding/);
  });
}

for (const coding of ['chunked', 'Chunked']) {
  test(`a body in chunks is passed on: ${coding}`, async () => {
    await using worker = await startSaying(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n`,
      'b\r\n{"ok":true}\r\n0\r\n\r\n',
    );
    await using fleet = await startRouter([worker]);
    assert.equal(await (await chat(fleet)).text(), '{"ok":true}');
  });
}
