/**
 * A body that is no JSON object: refused where something goes by what a body says, and no worker hears of it; elsewhere the
 * worker's to judge.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { ask, headerValue } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;
/** Nobody goes by bodies here. */
let open: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker], { router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] } });
  open = await startRouter([worker]);
});

after(async () => {
  await fleet.stop();
  await open.stop();
  await worker[Symbol.asyncDispose]();
});

const FILLER = 'x'.repeat(1_100_000);

for (const [what, body] of Object.entries({
  nothing: '',
  space: ' \n',
  'half an object': '{"model":"sim-model","messages":[',
  'a trailing comma': '{"model":"sim-model",}',
  'single quotes': "{'model':'sim-model'}",
  'a form': 'model=sim-model&prompt=hi',
  'something behind the object': '{"model":"sim-model"} {}',
  'a number that nobody knows': '{"temperature":-NaN}',
  'a number that is none behind a string that is not closed': '{"a":"NaN',
  'a list': '[{"model":"sim-model"}]',
  'a string': '"sim-model"',
  'a number': '42',
  null: 'null',
  'more than 1 MiB cut off in a string': `{"prompt":"${FILLER}`,
  'more than 1 MiB cut off in a list': `{"prompt":["${FILLER}"`,
  'more than 1 MiB with a bad member': `{"prompt":"${FILLER}","model":sim-model}`,
  'more than 1 MiB with a bad member inside a small one': `{"prompt":"${FILLER}","tools":[1,]}`,
  'tools nested too deeply to be written again': `{"tools":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  'more than 1 MiB of more members than any API has': `{"a":1${',"b":2'.repeat(200_000)}}`,
  'more than 1 MiB with something behind it': `{"prompt":"${FILLER}"}}`,
  'more than 1 MiB without quotes': `{prompt:"${FILLER}"}`,
  'more than 1 MiB of a list': `["${FILLER}"]`,
})) {
  test(`refused where rules apply: ${what}`, async () => {
    const before = worker.received.length;
    const response = await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body });
    assert.equal(response.status, 400);
    assert.equal(response.headers.get('content-type'), 'application/json');
    const { error } = JSON.parse(await response.text());
    assert.deepEqual(
      { ...error, message: '' },
      { message: '', type: 'invalid_request_error', param: null, code: 'invalid_json' },
    );
    assert.match(
      error.message,
      body.trim() === '' ? /^the body is empty: a JSON object is expected$/ : /JSON/,
    );
    assert.ok(error.message.length < 200);
    assert.equal(worker.received.length, before);
  });

  test(`passed on as it is elsewhere: ${what}`, async () => {
    const response = await fetch(`${open.url}/v1/chat/completions`, { method: 'POST', body });
    assert.equal(response.status, 200);
    await response.text();
    assert.ok(worker.last.body.equals(Buffer.from(body)));
  });
}

for (const [what, body] of Object.entries({
  'a small body':
    '{"temperature":NaN,"top_p":-Infinity,"model":"other","stop":["NaN \\" Infinity"],"min_p":Infinity}',
  'more than 1 MiB': `{"prompt":"${FILLER}","temperature":NaN,"bias":{"1":-Infinity},"model":"other","min_p":Infinity}`,
}))
  test(`numbers that only Python knows are no obstacle: ${what}`, async () => {
    for (const [router, expected] of [
      [open, body],
      [fleet, body.replace('"model":"other"', '"model":"sim-model"')],
    ] as const) {
      const response = await fetch(`${router.url}/v1/completions`, { method: 'POST', body });
      assert.equal(response.status, 200);
      await response.text();
      assert.ok(worker.last.body.equals(Buffer.from(expected)));
      const { requested_model } = await router.decision();
      assert.equal(requested_model, 'other');
    }
  });

test('the error does not quote the body: it may be a prompt', async () => {
  const response = await fetch(`${fleet.url}/v1/completions`, {
    method: 'POST',
    body: '{"prompt":"my secret plan","x":oops}',
  });
  assert.doesNotMatch(await response.text(), /plan|oops/);
});

test('the connection stays good: the body was read', async () => {
  const response = await ask(
    fleet.port,
    'POST /v1/completions HTTP/1.1\r\nHost: r\r\nContent-Length: 1\r\n\r\n{',
  );
  assert.equal(response.status, 400);
  assert.equal(headerValue(response.headers, 'connection'), 'keep-alive');
});

test('a route that the router does not read takes anything', async () => {
  const response = await fetch(`${fleet.url}/unknown`, { method: 'POST', body: '{"half":' });
  assert.equal(response.status, 200);
  assert.equal(worker.last.body.toString(), '{"half":');
});

test('the record tells what was wrong', async () => {
  const id = 'bad-json-record';
  await fetch(`${fleet.url}/v1/completions`, { method: 'POST', headers: { 'x-request-id': id }, body: '[]' });
  const decision = await fleet.decision(({ request_id: found }) => found === id);
  assert.deepEqual(
    [decision.status, decision.error, decision.outcome, decision.attempts],
    [400, 'invalid_json', 'rejected', []],
  );
});
