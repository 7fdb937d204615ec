import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../base/system-clock.ts';
import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import { OutboundSockets } from '../http/outbound-sockets.ts';
import { askBootstrap, readBootstrapAnswer, type BootstrapAnswer } from './mooncake-bootstrap.ts';

function read(body: string, status = 200): BootstrapAnswer {
  return readBootstrapAnswer({ kind: 'response', status, headers: [], body: Buffer.from(body) });
}

/** What is answered, and what was asked. */
async function server(t: TestContext, status: number, headers: Record<string, string>, body: string) {
  const seen: string[] = [];
  const http = createServer((request, response) => {
    seen.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.authorization ?? 'no key'}`);
    response.writeHead(status, headers).end(body);
  }).listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    http.close();
    http.closeAllConnections();
  });
  // It listens on TCP.
  const { port } = http.address() as AddressInfo;
  return { seen, port };
}

function ask(bootstrapPort: number): Promise<BootstrapAnswer> {
  const traits = { ...DEFAULT_TRAITS, role: 'prefill', bootstrapPort } as const;
  const of = { baseUrl: 'http://127.0.0.1:1/prefix', id: 'p', rank: undefined, apiKey: 'secret' };
  return askBootstrap(
    { spec: { ...of, traits }, traits },
    { connectMs: 1000, maxHeaderSize: 8192 },
    { clock: systemClock, sockets: new OutboundSockets() },
  );
}

describe('a bootstrap server', () => {
  it('says the engines of its ranks, as vLLM 0.32 does', () => {
    const entry = (id: string) => ({ engine_id: id, worker_addr: { 0: { 0: 'tcp://10.0.0.1:3000' } } });
    assert.deepEqual(read(JSON.stringify({ 0: entry('a'), 1: entry('b') })), {
      kind: 'told',
      engineIds: { 0: 'a', 1: 'b' },
    });
    assert.deepEqual(read('{}'), { kind: 'failed', reason: 'no engine has registered there yet' });
  });

  it('is none where it says something else', () => {
    for (const body of [
      ...['', 'null', '[]', '"x"', '{"0": null}', '{"0": {"engine_id": 7}}', '{"0": {"engine_id": ""}}'],
      ...['{"x": {"engine_id": "a"}}', '{"__proto__": {"engine_id": "a"}}'],
      JSON.stringify({ 0: { engine_id: 'x'.repeat(513) } }),
      JSON.stringify(Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, { engine_id: 'a' }]))),
    ])
      assert.equal(read(body).kind, 'malformed', body.slice(0, 60));
    assert.deepEqual(read('{}', 503), { kind: 'failed', reason: 'status 503' });
  });

  it('is asked on the host of its worker, at the port that is configured, without a key', async (t) => {
    const { seen, port } = await server(t, 200, {}, '{"0": {"engine_id": "e"}}');
    assert.deepEqual(await ask(port), { kind: 'told', engineIds: { 0: 'e' } });
    assert.deepEqual(seen, ['GET /query no key']);
  });

  it('does not send the router elsewhere, nor have it read without end', async (t) => {
    const elsewhere = await server(t, 200, {}, '{"0": {"engine_id": "other"}}');
    const location = `http://127.0.0.1:${elsewhere.port}/query`;
    const redirecting = await server(t, 307, { location }, '');
    assert.equal((await ask(redirecting.port)).kind, 'failed');
    assert.deepEqual(elsewhere.seen, []);
    const endless = await server(t, 200, {}, `{"0": "${'x'.repeat(300_000)}"}`);
    const answer = await ask(endless.port);
    assert.ok(answer.kind === 'failed');
    assert.match(answer.reason, /too_large/);
    assert.equal((await ask(1)).kind, 'failed');
  });
});
