/** Providers behind TLS, and through a proxy: whom the router believes, and what the proxy gets to see. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, test } from 'node:test';
import { chat, readBody, streamChat } from '../support/chat.ts';
import { outside } from '../support/external.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { startProvider, type Provider } from '../support/provider.ts';
import { authority } from '../support/self-signed.ts';
import { certificateFiles } from '../support/tls.ts';

const GPT = { model: 'gpt-4o-mini' };

interface Proxy extends AsyncDisposable {
  readonly url: string;
  /** What it was asked to connect to, with the credentials that it was shown. */
  readonly asked: { readonly to: string; readonly authorization: string | undefined }[];
  /** Refuses from now on with this status. */
  refuses: number | undefined;
}

/** A proxy that connects to wherever it is asked to. */
async function startProxy(): Promise<Proxy> {
  const asked: Proxy['asked'] = [];
  const open = new Set<Duplex>();
  const server = createServer((_, response) => {
    response.writeHead(405).end();
  });
  server.on('connect', (request: IncomingMessage, client: Duplex) => {
    asked.push({ to: request.url ?? '', authorization: request.headers['proxy-authorization'] });
    open.add(client);
    client.on('error', () => undefined);
    if (proxy.refuses !== undefined) {
      client.end(`HTTP/1.1 ${proxy.refuses} No\r\n\r\n`);
      return;
    }
    const port = Number(request.url?.split(':').at(-1));
    const there = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      there.pipe(client).pipe(there);
    });
    there.on('error', () => client.destroy());
    open.add(there);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: Proxy = {
    url: `http://me:secret@127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    refuses: undefined,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

const root = authority();
const files = certificateFiles();
const caFile = files.write('ca.pem', root.cert);
const { cert, key } = root.issue({ names: ['localhost'] });
const kept = { proxy: process.env['HTTPS_PROXY'], none: process.env['NO_PROXY'] };
after(() => {
  restore('HTTPS_PROXY', kept.proxy);
  restore('NO_PROXY', kept.none);
  files[Symbol.dispose]();
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) Reflect.deleteProperty(process.env, name);
  else process.env[name] = value;
}

function through(provider: Provider, insecure = false): Promise<Fleet> {
  return startFleet({
    workers: [{}],
    router: {
      workers: [outside(provider)],
      modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' }],
      retry: { maxRetries: 1 },
      ...(!insecure && {
        workerTlsOverrides: { [new URL(provider.url).origin]: { caFile } },
      }),
    },
  });
}

test('a provider is reached through HTTPS_PROXY, which sees where to and nothing else; the fleet is not', async () => {
  await using provider = await startProvider({ tls: { cert, key } });
  await using proxy = await startProxy();
  process.env['HTTPS_PROXY'] = proxy.url;
  await using fleet = await through(provider);
  for (let count = 0; count < 3; count++) {
    const response = await chat(fleet, GPT);
    assert.equal(response.status, 200, await response.text());
  }
  const { text, whole } = await readBody(await streamChat(fleet, GPT));
  assert.ok(whole);
  assert.match(text, /outside/);
  assert.equal((await chat(fleet)).status, 200);
  assert.deepEqual(proxy.asked, [
    {
      to: `localhost:${provider.port}`,
      authorization: `Basic ${Buffer.from('me:secret').toString('base64')}`,
    },
  ]);
});

test('NO_PROXY has it reached directly', async () => {
  await using provider = await startProvider({ tls: { cert, key } });
  await using proxy = await startProxy();
  process.env['HTTPS_PROXY'] = proxy.url;
  process.env['NO_PROXY'] = 'localhost';
  await using fleet = await through(provider);
  assert.equal((await chat(fleet, GPT)).status, 200);
  assert.deepEqual(proxy.asked, []);
  Reflect.deleteProperty(process.env, 'NO_PROXY');
});

test('a proxy that refuses, or is not there, is a connection that could not be made, without its password', async () => {
  await using provider = await startProvider({ tls: { cert, key } });
  const proxy = await startProxy();
  process.env['HTTPS_PROXY'] = proxy.url;
  await using fleet = await through(provider);
  proxy.refuses = 407;
  const refused = await chat(fleet, GPT);
  assert.equal(refused.status, 502);
  const text = await refused.text();
  assert.match(text, /PROXY_407/);
  assert.ok(!text.includes('secret'));
  await proxy[Symbol.asyncDispose]();
  const gone = await chat(fleet, GPT);
  assert.equal(gone.status, 502);
  assert.match(await gone.text(), /ECONNREFUSED/);
  assert.equal(provider.asked.length, 0);
});

test('a provider for whom nobody vouches gets nothing', async () => {
  await using provider = await startProvider({ tls: { cert, key } });
  Reflect.deleteProperty(process.env, 'HTTPS_PROXY');
  await using fleet = await through(provider, true);
  const response = await chat(fleet, GPT);
  assert.equal(response.status, 502);
  assert.match(await response.text(), /vouches|self-signed/);
  assert.equal(provider.asked.length, 0);
});
