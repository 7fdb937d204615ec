import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startSimWorker, type SimWorker } from './server.ts';

let worker: SimWorker;

before(async () => {
  worker = await startSimWorker({ timeScale: 0, keepAliveMs: 60_000 });
});
beforeEach(async () => {
  await worker.setFaults([]);
});
after(async () => {
  await worker.stop();
});

const CHAT = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 8, ignore_eos: true };

/** Everything the server sends on a connection of its own, and how the connection ended. */
async function raw(
  body: object,
  headers = '',
  connection = 'close',
): Promise<{ text: string; end: 'fin' | 'reset' }> {
  const payload = JSON.stringify(body);
  const socket = connect(worker.port, '127.0.0.1');
  let text = '';
  let end: 'fin' | 'reset' = 'fin';
  socket.on('data', (part: Buffer) => (text += part.toString()));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') end = 'reset';
  });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\n${headers}content-length: ${payload.length}\r\n\r\n${payload}`,
  );
  await new Promise((resolve) => socket.once('close', resolve));
  return { text, end };
}

function json(response: Response): Promise<ReturnType<typeof JSON.parse>> {
  return response.json();
}

function deltas(text: string): number {
  return text.match(/"delta"/g)?.length ?? 0;
}

describe('an engine that hangs', () => {
  it('answers nobody and counts nothing, while its server says that all is well, and goes on when told to', async () => {
    const metrics = async (): Promise<string> => (await fetch(`${worker.url}/metrics`)).text();
    await worker.setFaults(['hung_engine']);
    const before = await metrics();
    const arrived = worker.next('request', ({ method }) => method === 'POST');
    const hanging = raw(CHAT);
    await arrived;
    assert.equal((await fetch(`${worker.url}/health`)).status, 200);
    assert.equal((await fetch(`${worker.url}/v1/models`)).status, 200);
    assert.equal(worker.model.waiting, 1);
    assert.equal(await metrics(), before);
    await worker.setFaults([]);
    assert.match((await hanging).text, /^HTTP\/1.1 200 /);
    assert.notEqual(await metrics(), before);
  });

  it('goes on by itself after for_ms', async () => {
    await worker.setFaults(['hung_engine:for_ms=20']);
    assert.match((await raw(CHAT)).text, /^HTTP\/1.1 200 /);
    assert.deepEqual(worker.faults, []);
  });
});

describe('faults on the wire', () => {
  it('sends an error status with Retry-After', async () => {
    await worker.setFaults(['status:code=429,retry_after=7']);
    const answer = await fetch(`${worker.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(CHAT),
    });
    assert.equal(answer.status, 429);
    assert.equal(answer.headers.get('retry-after'), '7');
    assert.equal((await json(answer)).error.code, 429);
    assert.equal((await fetch(`${worker.url}/health`)).status, 200);
  });

  it('closes before the head', async () => {
    await worker.setFaults(['close']);
    assert.deepEqual(await raw(CHAT), { text: '', end: 'fin' });
  });

  it('resets before the head', async () => {
    await worker.setFaults(['reset']);
    assert.deepEqual(await raw(CHAT), { text: '', end: 'reset' });
  });

  it('resets in mid-stream after so many events, and stops computing', async () => {
    await worker.setFaults(['reset:after=3']);
    const cut = worker.next('cut');
    const { text, end } = await raw({ ...CHAT, stream: true });
    assert.equal(end, 'reset');
    assert.equal(deltas(text), 3);
    assert.ok(!text.includes('[DONE]'));
    await cut;
    assert.equal(worker.model.cache.used, 0);
  });

  it('closes in mid-event', async () => {
    await worker.setFaults(['close:after=2,partial=true']);
    const { text, end } = await raw({ ...CHAT, stream: true });
    assert.equal(end, 'fin');
    assert.ok(!text.endsWith('\r\n0\r\n\r\n'));
    assert.equal(text.match(/data: /g)?.length, 3);
  });

  it('closes after the head of a stream', async () => {
    await worker.setFaults(['close:after=0']);
    const { text } = await raw({ ...CHAT, stream: true });
    assert.match(text, /^HTTP\/1\.1 200 OK/);
    assert.equal(deltas(text), 0);
  });

  it('closes in the middle of a JSON answer', async () => {
    await worker.setFaults(['close:after=1']);
    const { text } = await raw(CHAT);
    const [head, body] = text.split('\r\n\r\n');
    const length = Number(/content-length: (\d+)/.exec(head ?? '')?.[1]);
    assert.ok(body !== undefined && body.length > 0 && body.length < length);
  });

  it('hangs before the head, in mid-stream and on a JSON body, until the client leaves', async () => {
    for (const [fault, stream, seen] of [
      ['hang', false, 0],
      ['hang:after=2', true, 2],
      ['hang:after=0', true, 0],
    ] as const) {
      await worker.setFaults([fault]);
      const aborted = worker.next('aborted');
      const requested = worker.next('request');
      const left = new AbortController();
      const answer = fetch(`${worker.url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ ...CHAT, stream }),
        signal: left.signal,
      });
      let text = '';
      if (stream) {
        const reader = (await answer).body?.getReader();
        while (deltas(text) < seen) text += Buffer.from((await reader?.read())?.value ?? []).toString();
      } else {
        await requested;
      }
      left.abort();
      await answer.catch(() => undefined);
      await aborted;
      assert.equal(deltas(text), seen);
    }
  });

  it('sends an error event and [DONE]', async () => {
    await worker.setFaults(['error_event:after=2']);
    const { text } = await raw({ ...CHAT, stream: true });
    assert.equal(deltas(text), 2);
    assert.match(
      text,
      /data: \{"error":\{"message":"simulated engine failure".*\}\r?\n\r?\n[^]*data: \[DONE\]/,
    );
  });

  it('declares a length that is too long, or too short', async () => {
    for (const by of [10, -10]) {
      await worker.setFaults([`length:by=${by}`]);
      // A length that is never reached shows by the connection's end, whatever the client said about keeping it.
      const { text } = await raw(CHAT, '', by > 0 ? 'keep-alive' : 'close');
      const [head, body] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/.exec(head ?? '')?.[1]);
      assert.equal(length - (body?.length ?? 0), by);
    }
  });

  it('sends what is not HTTP, or a body that is not JSON', async () => {
    await worker.setFaults(['garbage']);
    assert.ok(!(await raw(CHAT)).text.startsWith('HTTP'));
    await worker.setFaults(['garbage:at=body']);
    const answer = await fetch(`${worker.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(CHAT),
    });
    assert.equal(answer.status, 200);
    await assert.rejects(answer.json());
  });

  it('sends a body without framing', async () => {
    await worker.setFaults(['no_framing']);
    const finished = worker.next('finished');
    const { text } = await raw(CHAT);
    assert.doesNotMatch(text, /content-length|transfer-encoding/i);
    assert.equal(JSON.parse(text.split('\r\n\r\n')[1] ?? '').usage.completion_tokens, 8);
    await finished;
    const streamed = await raw({ ...CHAT, stream: true });
    assert.equal(deltas(streamed.text), 9);
    assert.ok(streamed.text.endsWith('data: [DONE]\n\n'));
  });

  it('drips, all of it', async () => {
    await worker.setFaults(['drip:bytes=40,ms=1']);
    const answer = await fetch(`${worker.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(CHAT),
    });
    assert.equal((await json(answer)).usage.completion_tokens, 8);
  });

  it('delays the head, or the body behind the head', async () => {
    await worker.setFaults(['delay:ms=30']);
    let from = performance.now();
    await (
      await fetch(`${worker.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(CHAT) })
    ).text();
    assert.ok(performance.now() - from >= 29);
    await worker.setFaults(['delay:ms=30,at=body']);
    from = performance.now();
    const answer = await fetch(`${worker.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ ...CHAT, stream: true }),
    });
    const text = await answer.text();
    assert.ok(performance.now() - from >= 29);
    assert.equal(deltas(text), 9);
  });

  it('does to one request what its header asks for', async () => {
    const { end } = await raw(CHAT, 'x-sim-fault: reset\r\n');
    assert.equal(end, 'reset');
    assert.match((await raw(CHAT)).text, /^HTTP\/1\.1 200/);
    assert.match((await raw(CHAT, 'x-sim-fault: nope\r\n')).text, /^HTTP\/1\.1 400/);
  });

  it('refuses connections and comes back on the same port', async () => {
    const { url } = worker;
    await worker.setFaults(['refuse']);
    await assert.rejects(fetch(`${url}/health`));
    await worker.setFaults([]);
    assert.equal((await fetch(`${url}/health`)).status, 200);
    assert.equal(worker.url, url);
  });

  it('can be set, shown and cleared over HTTP', async () => {
    const control = `${worker.url}/sim/faults`;
    const put = await fetch(control, {
      method: 'POST',
      body: '{"faults":["status:code=503",{"kind":"delay","ms":1}]}',
    });
    assert.equal(put.status, 200);
    assert.equal((await json(await fetch(control))).faults.length, 2);
    assert.equal(worker.faults.length, 2);
    const wrong = await fetch(control, { method: 'POST', body: '{"faults":["nope"]}' });
    assert.equal(wrong.status, 400);
    const endless = await fetch(control, { method: 'POST', body: '{"faults":["refuse"]}' });
    assert.equal(endless.status, 400);
    await fetch(control, { method: 'DELETE' });
    assert.equal(worker.faults.length, 0);
  });

  it('comes back by itself from a refusal with an end', async () => {
    const control = `${worker.url}/sim/faults`;
    await fetch(control, { method: 'POST', body: '{"faults":[{"kind":"refuse","for_ms":20}]}' });
    for (;;) {
      const up = await fetch(`${worker.url}/health`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (up && worker.faults.length === 0) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
});
