/** Clients that ask and wait for the answer, as most do. */
import { gzipSync } from 'node:zlib';
import {
  answer,
  ask,
  below,
  chatBody,
  connected,
  oneOf,
  requestBytes,
  words,
  type SoakClient,
} from '../client.ts';
import { TENANT_KEYS } from '../soaked-router.ts';

export const ANSWERED: readonly SoakClient[] = [
  {
    ...{ name: 'chat', share: 6, fine: ['200'] },
    exchange: (place) => ask(place, { path: '/v1/chat/completions', body: chatBody(place.random) }),
  },
  {
    ...{ name: 'stream', share: 8, fine: ['200 stream'] },
    exchange: (place) =>
      ask(place, { path: '/v1/chat/completions', body: chatBody(place.random, { stream: true }) }),
  },
  {
    ...{ name: 'messages stream', share: 2, fine: ['200 stream'] },
    exchange: (place) => ask(place, { path: '/v1/messages', body: chatBody(place.random, { stream: true }) }),
  },
  {
    ...{ name: 'responses', share: 2, fine: ['200', '200 stream'] },
    exchange: (place) =>
      ask(place, {
        path: '/v1/responses',
        body: {
          ...{ model: 'sim-model', input: words(place.random, 50), max_output_tokens: 8, store: false },
          stream: place.random() < 0.5,
        },
      }),
  },
  {
    ...{ name: 'embeddings', share: 2, fine: ['200'] },
    exchange: ({ random, port }) =>
      ask(
        { random, port },
        { path: '/v1/embeddings', body: { model: 'sim-model', input: words(random, 40) } },
      ),
  },
  {
    ...{ name: 'keep-alive', share: 3, fine: ['200'] },
    exchange: (place) =>
      connected(place, async (client) => {
        let ended = '';
        for (let turn = 0; turn < 5; turn += 1) {
          client.send(requestBytes({ path: '/v1/chat/completions', body: chatBody(place.random) }));
          ended = await answer(client);
          if (ended !== '200') break;
        }
        return ended;
      }),
  },
  {
    ...{ name: 'pipelined', share: 1, fine: ['200 200 200 200'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const ends: string[] = [];
        for (let turn = 0; turn < 4; turn += 1)
          client.send(
            requestBytes({
              path: '/v1/completions',
              body: { model: 'sim-model', prompt: words(place.random, 9), max_tokens: 4 },
            }),
          );
        for (let turn = 0; turn < 4; turn += 1) ends.push(await answer(client));
        return ends.join(' ');
      }),
  },
  {
    ...{ name: 'gzip body', share: 1, fine: ['200'] },
    exchange: (place) =>
      ask(place, {
        path: '/v1/chat/completions',
        headers: { 'content-encoding': 'gzip' },
        body: gzipSync(JSON.stringify(chatBody(place.random))),
      }),
  },
  {
    // Its tenant may have two requests at a time, five a second and a few tokens.
    ...{ name: 'limited tenant', share: 3, fine: ['200', '200 stream', '429', '403'] },
    exchange: (place) =>
      ask(place, {
        path: '/v1/chat/completions',
        key: TENANT_KEYS.limited,
        body: chatBody(place.random, {
          model: oneOf(place.random, ['sim-model', 'sim-model', 'other-model']),
          stream: place.random() < 0.5,
        }),
      }),
  },
  {
    ...{ name: 'local routes', share: 2, fine: ['200'] },
    exchange: (place) =>
      ask(place, {
        method: 'GET',
        path: oneOf(place.random, ['/health', '/v1/models', '/version', '/readiness']),
      }),
  },
  {
    // Reads a long answer a little at a time: its worker is held up, not the memory of the router.
    ...{ name: 'slow reader', share: 2, fine: ['200 stream'] },
    exchange: (place) =>
      connected(place, async (client) => {
        const { socket } = client;
        const body = chatBody(place.random, { stream: true, max_tokens: 300, ignore_eos: true });
        client.send(requestBytes({ path: '/v1/chat/completions', body }));
        let turns = 4 + below(place.random, 4);
        const stutter = setInterval(() => {
          if (socket.isPaused()) socket.resume();
          else if (turns > 0) socket.pause();
          turns -= 1;
        }, 100);
        try {
          return await answer(client);
        } finally {
          clearInterval(stutter);
        }
      }),
  },
];
