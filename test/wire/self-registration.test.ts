/** Workers that register themselves over ZeroMQ: they appear, serve, and disappear, and cannot point the router anywhere else. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { adminOf } from '../support/admin.ts';
import { chat, pieces, streamChat, workerOf } from '../support/chat.ts';
import { eventually, roundTrip, startFleet, type Fleet, type FleetOptions } from '../support/fleet.ts';
import { startFileFleet } from '../support/file-fleet.ts';
import { freePort } from '../support/free-port.ts';
import { scrape } from '../support/metrics.ts';
import { answerPrefill } from '../support/pairs.ts';
import { answerJson, startScriptedWorker } from '../support/scripted-worker.ts';
import { newPrompt, startPair } from '../support/sim-pair.ts';
import { p2pMessage, selfRegistering } from '../support/self-registering.ts';

interface Discovering {
  readonly fleet: Fleet;
  readonly port: number;
}

async function startDiscovering(options: FleetOptions = {}): Promise<Discovering & AsyncDisposable> {
  const port = await freePort();
  const pd = { discoveryAddress: `127.0.0.1:${port}` };
  const fleet = await startFleet({ workers: [], ...options, router: { ...options.router, pd } });
  return { fleet, port, [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose]() };
}

async function startEngine(t: TestContext): Promise<SimWorker> {
  const engine = await startSimWorker({ timeScale: 0 });
  t.after(() => engine.stop());
  return engine;
}

/** Tokens of prompts that came from another engine. */
async function externalHits({ url }: SimWorker): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^vllm:external_prefix_cache_hits_total\{.*\} (\S+)$/m.exec(metrics)?.[1]);
}

function isServing({ app }: Fleet, url: string): boolean {
  const worker = app.runtime.registry.get(url);
  return worker !== undefined && worker.health.healthy && !worker.draining;
}

const serving = (fleet: Fleet, url: string): Promise<void> => eventually(() => isServing(fleet, url));
const gone = (fleet: Fleet, url: string): Promise<void> =>
  eventually(() => fleet.app.runtime.registry.get(url) === undefined);

test('a worker that registers itself is probed, serves beside those that are configured, and is shown', async (t) => {
  await using discovering = await startDiscovering({ workers: [{ timeScale: 0 }] });
  const { fleet, port } = discovering;
  const admin = adminOf(fleet);
  const [prefill, decode] = [await startEngine(t), await startEngine(t)];
  const peer = await selfRegistering(t, port);
  peer.say(p2pMessage('P', prefill.url, 21_001));
  const moriio = { dp_size: 1, tp_size: 8, transfer_mode: 'READ' };
  const zmq_address = 'host:127.0.0.1,handshake:6301,notify:61005';
  peer.say({ ...p2pMessage('D', decode.url), zmq_address, ...moriio });
  await serving(fleet, prefill.url);
  await serving(fleet, decode.url);
  const { registry } = fleet.app.runtime;
  const traits = [prefill, decode].map(({ url }) => {
    const { role, kvTransfer } = registry.get(url)?.traits ?? {};
    return { role, kvTransfer };
  });
  assert.deepEqual(traits, [
    { role: 'prefill', kvTransfer: { zmqAddress: '127.0.0.1:21001' } },
    { role: 'decode', kvTransfer: { zmqAddress: zmq_address, dpSize: 1, tpSize: 8, transferMode: 'READ' } },
  ]);
  const [own] = fleet.workers;
  const served = new Set<string | null>();
  while (served.size < 2) {
    const answer = await chat(fleet);
    assert.equal(answer.status, 200);
    served.add(workerOf(answer));
  }
  assert.deepEqual(served, new Set([own?.url, decode.url]));
  const shown = (await admin('GET', `/workers/${encodeURIComponent(decode.url)}`)).body;
  assert.equal(shown.source, 'zmq');
  const { age_secs, silent_secs, ...said } = shown.self_registration;
  assert.deepEqual(said, { zmq_address, from: '127.0.0.1' });
  assert.ok(age_secs >= silent_secs && silent_secs >= 0 && age_secs < 60);
  const series = await scrape(fleet);
  assert.equal(series.value('vllm_router_discovery_peers', { state: 'serving' }), 2);
  assert.equal(series.value('vllm_router_discovery_updates_total'), 2);
});

for (const kvConnector of ['p2p-nccl', 'moriio'] as const)
  test(`a pair that has registered itself hands over by ${kvConnector}`, async (t) => {
    const port = await freePort();
    const pd = { discoveryAddress: `127.0.0.1:${port}`, split: 'always' } as const;
    const kvTransfer = { proxyAddress: `127.0.0.1:${port}` };
    const options = { timeScale: 0, kvConnector, kvTransfer };
    await using pair = await startPair(options);
    await using fleet = await startFleet({ workers: [], router: { pd } });
    for (const { url } of [pair.prefill, pair.decode]) await serving(fleet, url);
    await roundTrip(fleet);
    const answer = await chat(fleet, { messages: [{ role: 'user', content: newPrompt() }] });
    assert.equal(answer.status, 200);
    assert.equal(workerOf(answer), pair.decode.url);
    const { pd: record } = await fleet.decision(({ outcome }) => outcome === 'ok');
    assert.equal(record?.connector, kvConnector);
    assert.equal(record?.prefill_worker, pair.prefill.url);
    const transferred = await externalHits(pair.decode);
    assert.ok(transferred > 0, 'it has computed the prompt itself');
    // Without a peer's address its decode worker would answer from an empty cache.
    const whole = await chat(fleet, { n: 2 });
    assert.equal(whole.status, kvConnector === 'p2p-nccl' ? 503 : 200);
    if (kvConnector === 'p2p-nccl') assert.match(await whole.text(), /1 pairs only/);
    const asked = pair.decode.seen.length;
    assert.equal((await fetch(`${fleet.url}/health_generate`)).status, 200);
    const [how] = pair.decode.seen.slice(asked).filter(({ url }) => url !== '/metrics');
    const least = kvConnector === 'p2p-nccl' ? ['GET', '/health'] : ['POST', '/v1/completions'];
    assert.deepEqual([how?.method, how?.url], least);
    t.diagnostic(`${transferred} tokens came over`);
  });

test('one that is silent gets nothing new, finishes what it has, and leaves', async (t) => {
  const clock = new VirtualClock();
  await using discovering = await startDiscovering({ clock });
  const { fleet, port } = discovering;
  const event = 'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n';
  await using worker = await startScriptedWorker((response, { url }) => {
    // It is asked what else it offers as well.
    if (url !== '/v1/chat/completions') {
      answerJson(response);
      return;
    }
    response.writeHead(200, ['content-type', 'text/event-stream']).write(event);
    endStream = () => response.end('data: [DONE]\n\n');
  });
  let endStream = (): unknown => assert.fail('no stream has begun');
  const peer = await selfRegistering(t, port);
  peer.say(p2pMessage('D', worker.url));
  await serving(fleet, worker.url);
  await using prefill = await startScriptedWorker((response, { url }) => {
    if (url === '/v1/chat/completions') answerPrefill(response);
    else answerJson(response);
  });
  (await selfRegistering(t, port)).say(p2pMessage('P', prefill.url, 21_002));
  await serving(fleet, prefill.url);
  const rest = pieces(await streamChat(fleet));
  assert.equal((await rest.next()).value, event);
  for (let ms = 0; ms < 6000; ms += 500) clock.advance(500);
  assert.equal(fleet.app.runtime.registry.get(worker.url)?.draining, true);
  assert.equal((await chat(fleet)).status, 503);
  endStream();
  assert.equal((await rest.next()).value, 'data: [DONE]\n\n');
  await Promise.all([gone(fleet, worker.url), gone(fleet, prefill.url)]);
  assert.equal((await scrape(fleet)).value('vllm_router_discovery_workers_removed'), 2);
  peer.say(p2pMessage('D', worker.url));
  await serving(fleet, worker.url);
});

test('one that was started anew with another address has to wait until the old one is gone', async (t) => {
  const clock = new VirtualClock();
  await using discovering = await startDiscovering({ clock });
  const { fleet, port } = discovering;
  const engine = await startEngine(t);
  const addressOf = (): string | undefined =>
    fleet.app.runtime.registry.get(engine.url)?.traits.kvTransfer?.zmqAddress;
  const peer = await selfRegistering(t, port);
  peer.say(p2pMessage('D', engine.url, 21_001));
  await serving(fleet, engine.url);
  const restarted = p2pMessage('D', engine.url, 21_002);
  peer.say(restarted);
  const refused = { reason: 'changed' };
  while ((await scrape(fleet)).value('vllm_router_discovery_refused_total', refused) === 0);
  assert.equal(addressOf(), '127.0.0.1:21001');
  for (let ms = 0; ms < 6000; ms += 500) clock.advance(500);
  await gone(fleet, engine.url);
  peer.say(restarted);
  await serving(fleet, engine.url);
  assert.equal(addressOf(), '127.0.0.1:21002');
});

test('nothing that anybody says makes the router call anything but workers of its own networks', async (t) => {
  const target = await startScriptedWorker();
  t.after(() => target[Symbol.asyncDispose]());
  await using discovering = await startDiscovering();
  const { fleet, port } = discovering;
  const peer = await selfRegistering(t, port);
  const honest = p2pMessage('D', target.url);
  const lies = [
    ...['169.254.169.254:8080', '8.8.8.8:8000', '127.0.0.1:22', 'localhost:8000', '0.0.0.0:8000'],
    ...[`127.0.0.1:${fleet.port}`, `127.0.0.1:${port}`, '[::ffff:127.0.0.1]:8000', 'x@127.0.0.1:8000'],
  ];
  for (const lie of lies) {
    peer.say({ ...honest, http_address: lie });
    peer.say({ ...honest, zmq_address: lie });
  }
  peer.say({ ...honest, type: 'X' });
  peer.sayBytes(Buffer.from('not msgpack'));
  peer.sayBytes(Buffer.alloc(0), Buffer.alloc(1000, 0x81));
  const sent = 2 * lies.length + 3;
  const refusals = async (): Promise<number> =>
    (await scrape(fleet)).sum('vllm_router_discovery_refused_total');
  while ((await refusals()) < sent);
  const series = await scrape(fleet);
  const count = (reason: string): number => series.value('vllm_router_discovery_refused_total', { reason });
  assert.deepEqual(
    [
      'special_address',
      'not_allowed',
      'low_port',
      'bad_address',
      'own_address',
      'unknown_type',
      'malformed',
    ].map((reason) => [reason, count(reason)]),
    [
      ['special_address', 6],
      ['not_allowed', 2],
      ['low_port', 2],
      ['bad_address', 4],
      ['own_address', 4],
      ['unknown_type', 1],
      ['malformed', 2],
    ],
  );
  assert.deepEqual(fleet.app.runtime.registry.workers, []);
  assert.equal(fleet.app.openJobs, 0);
  // Whoever sends too much, or speaks something else, is left; the others are heard.
  const flooding = await selfRegistering(t, port);
  flooding.sayBytes(Buffer.alloc(10_000));
  await flooding.left();
  const http = connect(port, '127.0.0.1');
  http.write('GET / HTTP/1.1\r\n\r\n');
  http.resume();
  await new Promise((resolve) => http.once('close', resolve));
  peer.say(honest);
  await serving(fleet, target.url);
});

test('a worker that was removed stays away although it goes on registering itself', async (t) => {
  const clock = new VirtualClock();
  await using discovering = await startDiscovering({ clock });
  const { fleet, port } = discovering;
  const admin = adminOf(fleet);
  const engine = await startEngine(t);
  const peer = await selfRegistering(t, port);
  const message = p2pMessage('D', engine.url);
  peer.say(message);
  await serving(fleet, engine.url);
  assert.equal((await admin('DELETE', `/workers/${encodeURIComponent(engine.url)}`)).status, 202);
  await gone(fleet, engine.url);
  peer.say(message);
  const withdrawn = { state: 'withdrawn' };
  while ((await scrape(fleet)).value('vllm_router_discovery_peers', withdrawn) === 0);
  assert.equal(fleet.app.openJobs, 0);
  for (let ms = 0; ms < 6000; ms += 500) clock.advance(500);
  peer.say(message);
  await serving(fleet, engine.url);
});

test('a reload may allow other networks: who is outside of them leaves', async (t) => {
  const discovery_address = `127.0.0.1:${await freePort()}`;
  const first = { pd: { discovery_address, discovery_allow: ['127.0.0.0/8'] } };
  await using fleet = await startFileFleet(first, { workers: [{}] });
  const engine = await startEngine(t);
  const peer = await selfRegistering(t, Number(discovery_address.split(':')[1]));
  const message = p2pMessage('D', engine.url);
  peer.say(message);
  await serving(fleet, engine.url);
  fleet.write({ pd: { discovery_address, discovery_allow: ['10.0.0.0/8'] } });
  assert.equal((await fleet.reload()).status, 200);
  await gone(fleet, engine.url);
  peer.say(message);
  const refused = { reason: 'not_allowed' };
  while ((await scrape(fleet)).value('vllm_router_discovery_refused_total', refused) === 0);
  fleet.write(first);
  assert.equal((await fleet.reload()).status, 200);
  peer.say(message);
  await serving(fleet, engine.url);
});

test('a router that cannot listen there does not start, and says why', async () => {
  const port = await freePort();
  const pd = { discoveryAddress: `127.0.0.1:${port}` };
  await using _fleet = await startFleet({ workers: [{}], router: { pd } });
  await assert.rejects(startFleet({ workers: [{}], router: { pd } }), {
    name: 'StartError',
    message: new RegExp(
      `^cannot listen on 127\\.0\\.0\\.1:${port} \\(--vllm-discovery-address\\): the port is taken$`,
    ),
  });
});
