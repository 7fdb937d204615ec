/** What no client should send. */
import { randomBytes } from 'node:crypto';
import { answer, ask, below, connected, oneOf, requestBytes, type SoakClient } from '../client.ts';
import { TENANT_KEYS } from '../soaked-router.ts';

export const SENSELESS: readonly SoakClient[] = [
  {
    ...{ name: 'garbage', share: 1, fine: ['400', 'cut'] },
    exchange: (place) =>
      connected(place, (client) => {
        client.send(Buffer.concat([randomBytes(1 + below(place.random, 500)), Buffer.from('\r\n\r\n')]));
        return answer(client);
      }),
  },
  {
    ...{ name: 'endless head', share: 1, fine: ['431'] },
    exchange: (place) =>
      ask(place, { method: 'GET', path: '/health', headers: { 'x-much': 'a'.repeat(100_000) } }),
  },
  {
    ...{ name: 'wrong key', share: 1, fine: ['401'] },
    exchange: (place) =>
      ask(place, { path: '/v1/chat/completions', key: 'sk-nobody', body: { model: 'sim-model' } }),
  },
  {
    ...{ name: 'broken JSON', share: 1, fine: ['400'] },
    exchange: (place) =>
      ask(place, {
        path: oneOf(place.random, ['/v1/chat/completions', '/v1/messages', '/v1/embeddings']),
        key: TENANT_KEYS.free,
        body: '{"model": "sim-model", "messages": [',
      }),
  },
  {
    ...{ name: 'half a request', share: 1, fine: ['400', 'cut', 'closed'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const bytes = requestBytes({ path: '/v1/chat/completions', body: '{"model":' });
        client.socket.end(bytes.subarray(0, 1 + below(place.random, bytes.length - 1)));
        await client.ended();
        return 'closed';
      }),
  },
];
