import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { linger } from './linger.ts';

/** Two ends of a connection; the server's end takes the client's as it is, as Node's HTTP server does. */
async function pair(t: TestContext): Promise<{ client: Socket; server: Socket }> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = connect({ port: (listener.address() as AddressInfo).port, allowHalfOpen: true });
  // What `once` resolves to has no type.
  const [server] = (await once(listener, 'connection')) as [Socket];
  for (const socket of [client, server]) socket.on('error', () => undefined);
  client.resume();
  t.after(() => {
    client.destroy();
    server.destroy();
    listener.close();
  });
  return { client, server };
}

async function says(client: Socket, server: Socket): Promise<void> {
  const read = once(server, 'data');
  client.write('more');
  await read;
}

test('everything that was written arrives, and a client that ends its side ends it all', async (t) => {
  const { client, server } = await pair(t);
  let text = '';
  client.on('data', (part: Buffer) => (text += part.toString()));
  server.write('the answer');
  linger(server);
  await once(client, 'end');
  assert.equal(text, 'the answer');
  const closed = once(server, 'close');
  client.end();
  await closed;
});

test('a client that says nothing for a while is cut off', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { client, server } = await pair(t);
  linger(server);
  await says(client, server);
  t.mock.timers.tick(5_000);
  assert.equal(server.destroyed, false);
  const closed = once(server, 'close');
  t.mock.timers.tick(5_000);
  assert.equal(server.destroyed, true);
  await closed;
});

test('a client that says more and more is cut off in the end', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { client, server } = await pair(t);
  linger(server);
  for (let waited = 5_000; waited < 30_000; waited += 5_000) {
    await says(client, server);
    t.mock.timers.tick(5_000);
    assert.equal(server.destroyed, false);
  }
  await says(client, server);
  const closed = once(server, 'close');
  t.mock.timers.tick(5_000);
  assert.equal(server.destroyed, true);
  await closed;
});
