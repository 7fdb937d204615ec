/** WebSockets. */
import { setTimeout as pause } from 'node:timers/promises';
import type { RawClient } from '../../support/raw-client.ts';
import { below, connected, requestBytes, type SoakClient } from '../client.ts';

const HANDSHAKE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

function shakeHands(client: RawClient, path: string): void {
  client.send(requestBytes({ method: 'GET', path, headers: HANDSHAKE }));
}

/** A masked text frame, as clients send them. */
function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  return Buffer.concat([Buffer.of(0x81, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

export const TUNNELLING: readonly SoakClient[] = [
  {
    ...{ name: 'tunnel', share: 2, fine: ['101 echoed'] },
    exchange: (place) =>
      connected(place, async (client) => {
        shakeHands(client, '/sim/echo');
        const { status } = await client.response({ method: 'GET' });
        if (status !== 101) return String(status);
        for (let turn = 0; turn < 5; turn += 1) {
          const text = `hello ${turn}`;
          client.send(frame(text));
          const echoed = await client.bytes(2 + text.length);
          if (echoed.toString('latin1', 2) !== text) return '101 garbled';
        }
        return '101 echoed';
      }),
  },
  {
    ...{ name: 'tunnel refused', share: 1, fine: ['404'] },
    exchange: (place) =>
      connected(place, async (client) => {
        shakeHands(client, '/nowhere');
        const { status } = await client.response({ method: 'GET' });
        // It is up to the router to end the connection: this client would keep it.
        await client.ended();
        return String(status);
      }),
  },
  {
    ...{ name: 'leaves a handshake', share: 2, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        shakeHands(client, '/v1/realtime?model=sim-model');
        await pause(below(place.random, 4));
        if (place.random() < 0.5) client.socket.resetAndDestroy();
        return 'left';
      }),
  },
];
