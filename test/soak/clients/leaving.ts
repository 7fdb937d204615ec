/** Clients that are gone before their answer is. */
import { setTimeout as pause } from 'node:timers/promises';
import type { RawClient } from '../../support/raw-client.ts';
import { below, chatBody, connected, requestBytes, words, type Place, type SoakClient } from '../client.ts';

function leave({ random }: Place, { socket }: RawClient): string {
  if (random() < 0.5) socket.resetAndDestroy();
  else socket.destroy();
  return 'left';
}

const STREAM = { stream: true, max_tokens: 200, ignore_eos: true };

export const LEAVING: readonly SoakClient[] = [
  {
    ...{ name: 'leaves in prefill', share: 3, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const content = words(place.random, 3000);
        client.send(
          requestBytes({
            path: '/v1/chat/completions',
            body: { model: 'sim-model', messages: [{ role: 'user', content }], stream: true },
          }),
        );
        await pause(below(place.random, 20));
        return leave(place, client);
      }),
  },
  {
    ...{ name: 'leaves in mid-stream', share: 3, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        client.send(requestBytes({ path: '/v1/chat/completions', body: chatBody(place.random, STREAM) }));
        await client.seen(/data: /);
        await pause(below(place.random, 30));
        return leave(place, client);
      }),
  },
  {
    ...{ name: 'leaves while sending', share: 2, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const bytes = requestBytes({ path: '/v1/chat/completions', body: chatBody(place.random) });
        client.send(bytes.subarray(0, below(place.random, bytes.length - 1) + 1));
        await pause(below(place.random, 30));
        return leave(place, client);
      }),
  },
  {
    ...{ name: 'leaves a pipeline', share: 1, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        for (let turn = 0; turn < 6; turn += 1)
          client.send(requestBytes({ path: '/v1/chat/completions', body: chatBody(place.random, STREAM) }));
        await pause(below(place.random, 60));
        return leave(place, client);
      }),
  },
  {
    ...{ name: 'leaves an upload', share: 1, fine: ['left'] },
    exchange: (place) =>
      connected(place, async (client) => {
        client.send(
          requestBytes({
            path: '/upload/nowhere',
            headers: { 'content-length': '8000000', 'content-type': 'application/octet-stream' },
            body: Buffer.alloc(100_000 + below(place.random, 2_000_000)),
          }),
        );
        await pause(below(place.random, 60));
        return leave(place, client);
      }),
  },
];
