/** Bodies that are large, or come in an unusual way. */
import { setTimeout as pause } from 'node:timers/promises';
import { answer, below, chatBody, connected, requestBytes, type SoakClient } from '../client.ts';

const BOUNDARY = 'soak-boundary';

function form(model: string, bytes: number): Buffer {
  const part = (name: string, more = ''): string =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`;
  return Buffer.concat([
    Buffer.from(`${part('model')}${model}\r\n${part('file', '; filename="a.wav"')}`),
    Buffer.alloc(bytes, 1),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ]);
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

export const UPLOADING: readonly SoakClient[] = [
  {
    ...{ name: 'one-byte chunks', share: 2, fine: ['200'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const headers = { 'transfer-encoding': 'chunked' };
        client.send(requestBytes({ path: '/v1/chat/completions', headers }));
        const body = Buffer.from(JSON.stringify(chatBody(place.random)));
        const pieces = Array.from(body, (byte) => chunk(Buffer.of(byte)));
        for (let from = 0; from < pieces.length; from += 500) {
          client.send(Buffer.concat(pieces.slice(from, from + 500)));
          await pause(1);
        }
        client.send('0\r\n\r\n');
        return await answer(client);
      }),
  },
  {
    ...{ name: 'audio form', share: 1, fine: ['200'] },
    exchange: (place) =>
      connected(place, (client) => {
        client.send(
          requestBytes({
            path: '/v1/audio/transcriptions',
            headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
            body: form('sim-model', 1000 + below(place.random, 3_000_000)),
          }),
        );
        return answer(client);
      }),
  },
  {
    // The worker knows no such route and says so before it has read everything; the client writes on regardless.
    ...{ name: 'upload answered early', share: 2, fine: ['404'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const headers = { 'transfer-encoding': 'chunked', 'content-type': 'application/octet-stream' };
        client.send(requestBytes({ path: '/upload/nowhere', headers }));
        const piece = chunk(Buffer.alloc(64 * 1024, 1));
        for (let turn = 0; turn < 40; turn += 1) {
          client.send(piece);
          if (turn % 8 === 0) await pause(1);
        }
        client.send('0\r\n\r\n');
        return await answer(client);
      }),
  },
];
