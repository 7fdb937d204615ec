import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { after, describe, it } from 'node:test';
import { startSimWorker, type SimWorker } from './server.ts';

const workers: SimWorker[] = [];

async function start(): Promise<SimWorker> {
  const worker = await startSimWorker({ timeScale: 0 });
  workers.push(worker);
  return worker;
}

after(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
});

describe('web sockets', () => {
  /** A masked client frame. */
  function frame(text: string, opcode = 1): Buffer {
    const data = Buffer.from(text);
    const mask = randomBytes(4);
    const head = data.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | data.length]) : Buffer.alloc(4);
    if (data.length >= 126) {
      head.writeUInt8(0x80 | opcode, 0);
      head.writeUInt8(0x80 | 126, 1);
      head.writeUInt16BE(data.length, 2);
    }
    return Buffer.concat([head, mask, data.map((byte, i) => byte ^ (mask[i % 4] ?? 0))]);
  }

  async function open(worker: SimWorker, path: string): Promise<{ socket: Duplex; head: Buffer }> {
    const key = randomBytes(16).toString('base64');
    const sent = request(worker.url + path, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': key,
        'sec-websocket-version': '13',
      },
    });
    sent.end();
    const [response, socket, head] = (await once(sent, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
    const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    assert.equal(response.headers['sec-websocket-accept'], expected);
    return { socket, head };
  }

  it('echo what they get, byte by byte if need be', async () => {
    const worker = await start();
    const { socket } = await open(worker, '/sim/echo');
    const long = 'long '.repeat(50);
    for (const byte of Buffer.concat([frame('hello'), frame(long)])) socket.write(Buffer.from([byte]));
    let got = Buffer.alloc(0);
    while (got.length < 2 + 5 + 4 + long.length) {
      const [part] = (await once(socket, 'data')) as [Buffer];
      got = Buffer.concat([got, part]);
    }
    assert.equal(got.toString('latin1', 2, 7), 'hello');
    assert.equal(got.toString('latin1', 11), long);
    socket.write(frame('', 8));
    await once(socket, 'end');
    socket.destroy();
  });

  it('end with a client that leaves without a word', async () => {
    const { socket } = await open(await start(), '/sim/echo');
    socket.end();
    await Promise.all([once(socket.resume(), 'end'), once(socket, 'close')]);
  });

  it('speak the realtime protocol', async () => {
    const worker = await start();
    const { socket, head } = await open(worker, '/v1/realtime');
    socket.write(frame(JSON.stringify({ type: 'session.update', model: 'sim-model' })));
    socket.write(frame(JSON.stringify({ type: 'input_audio_buffer.append', audio: 'AAAA' })));
    socket.write(frame(JSON.stringify({ type: 'input_audio_buffer.commit' })));
    let text = head.toString();
    while (!text.includes('transcription.done')) text += String((await once(socket, 'data'))[0]);
    assert.match(text, /session\.created.*transcription\.delta.*"3 bytes heard"/s);
    socket.destroy();
  });

  it('are refused elsewhere, and other upgrades are plain requests', async () => {
    const worker = await start();
    const upgrade = request(`${worker.url}/health`, {
      headers: { connection: 'Upgrade', upgrade: 'websocket' },
    });
    upgrade.end();
    const [refused] = (await once(upgrade, 'response')) as [IncomingMessage];
    assert.equal(refused.statusCode, 404);
    refused.resume();
    const h2c = request(`${worker.url}/health`, { headers: { connection: 'Upgrade', upgrade: 'h2c' } });
    h2c.end();
    const [answered] = (await once(h2c, 'response')) as [IncomingMessage];
    assert.equal(answered.statusCode, 200);
    answered.resume();
  });
});
