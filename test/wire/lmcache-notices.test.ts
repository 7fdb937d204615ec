/** Blocks that LMCache brings from one worker to the other: the second one gets the request when all of them are announced, or time is up. */
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { once, EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { systemRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { Sender } from '../../src/zmtp/sender.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { chat } from '../support/chat.ts';
import { roundTrip, startFleet, type Fleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { scrape } from '../support/metrics.ts';
import { answerJson, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

const CHAT = '/v1/chat/completions';
const NOTICE_TIMEOUT_SECS = 1;

function answerChat(response: ServerResponse, more: object = {}): void {
  const choices = [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'length' }];
  const text = JSON.stringify({ id: 'c', object: 'chat.completion', model: 'sim-model', choices, ...more });
  response.writeHead(200, { 'content-type': 'application/json' }).end(text);
}

/** Two ranks that announce their blocks by themselves, and a worker that gets them; the test is the transfer. */
async function startTransfer(t: TestContext): Promise<{
  readonly fleet: Fleet;
  readonly decode: ScriptedWorker;
  /** The id of the request that the prefill worker has got. */
  readonly wanted: Promise<string>;
  readonly announce: (id: string) => void;
}> {
  const port = await freePort();
  const told = new EventEmitter();
  const wanted = once(told, 'wanted').then(([id]) => String(id));
  const prefill = await startScriptedWorker((response, { url, body }) => {
    if (url !== CHAT) {
      answerJson(response);
      return;
    }
    const { kv_transfer_params: params } = JSON.parse(body.toString());
    told.emit('wanted', params.disagg_spec.req_id);
    answerChat(response, { kv_transfer_params: { first_tok: 7 } });
  });
  const decode = await startScriptedWorker((response, { url }) => {
    if (url === CHAT) answerChat(response);
    else answerJson(response);
  });
  const pd = {
    ...({ kvConnector: 'lmcache', split: 'always', lmcacheNotices: `127.0.0.1:${port}` } as const),
    lmcacheNoticeTimeoutSecs: NOTICE_TIMEOUT_SECS,
  };
  const fleet = await startFleet({ workers: [], router: { threads: 2, pd } });
  t.after(async () => {
    await fleet.stop();
    await Promise.all([prefill, decode].map((worker) => worker[Symbol.asyncDispose]()));
  });
  const admin = adminOf(fleet);
  const receiver = { host: '127.0.0.1', init_ports: [8300, 8301], alloc_ports: [8400, 8401] };
  await admin('POST', '/workers', { url: prefill.url, worker_type: 'prefill' });
  await admin('POST', '/workers', { url: decode.url, worker_type: 'decode', kv_transfer: { receiver } });
  for (const { url } of [prefill, decode])
    assert.equal((await settledWorker(admin, url)).body.is_healthy, true);
  const ready = once(told, 'ready');
  const sender = new Sender(
    { kind: 'tcp', host: '127.0.0.1', port },
    'PUSH',
    { clock: systemClock, random: systemRandom },
    { onReady: () => told.emit('ready') },
  );
  t.after(() => {
    sender.close();
  });
  await ready;
  const announce = (id: string): void => {
    assert.equal(sender.send([Buffer.from(encode({ type: 'ProxyNotif', req_id: id }))]), true);
  };
  return { fleet, decode, wanted, announce };
}

const waits = async (fleet: Fleet, end: string): Promise<number> =>
  (await scrape(fleet)).value('vllm_router_pd_arrival_waits_total', { end });
const notices = async (fleet: Fleet, end: string): Promise<number> =>
  (await scrape(fleet)).value('vllm_router_pd_arrival_notices_total', { end });
const asked = ({ received }: ScriptedWorker): number => received.filter(({ url }) => url === CHAT).length;

test('the second worker gets the request when every rank has announced its blocks, in whichever thread it waits', async (t) => {
  const { fleet, decode, wanted, announce } = await startTransfer(t);
  const answer = chat(fleet);
  const id = await wanted;
  announce('another');
  announce(id);
  await roundTrip(fleet);
  assert.equal(asked(decode), 0);
  announce(id);
  assert.equal((await answer).status, 200);
  assert.equal(asked(decode), 1);
  assert.deepEqual([await waits(fleet, 'arrived'), await notices(fleet, 'awaited')], [1, 2]);
});

test('without all of them it gets it when time is up, and what is no notice is counted', async (t) => {
  const { fleet, decode, wanted, announce } = await startTransfer(t);
  const answer = chat(fleet);
  announce(await wanted);
  announce('x'.repeat(1000));
  assert.equal((await answer).status, 200);
  assert.equal(asked(decode), 1);
  assert.deepEqual([await waits(fleet, 'timeout'), await notices(fleet, 'malformed')], [1, 1]);
});
