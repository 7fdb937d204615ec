/** The long strings of a body stay where they are: nobody can tell from what the router says and does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerOf } from '../support/chat.ts';
import type { Fleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

function post(fleet: Fleet, body: string | Buffer, path = '/v1/chat/completions'): Promise<Response> {
  return fetch(fleet.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

/** A line with everything that is written in its own way in JSON, or in UTF-8. */
const LINE = 'Größe 天地 😀: "quoted", C:\\dir\tand so on, for a while, in one plain run of words.\n';

const FRAME_BYTES = 16;
const HASHED_BYTES = 256 * 1024;
const BYTES_PER_TOKEN = 4;

for (const ascii of [false, true])
  test(`a conversation that grows is known again, short or long${ascii ? ', all of it in escapes' : ''}`, async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker], { router: { policy: 'cache_aware' } });
    const messages: { role: string; content: string }[] = [];
    let bytes = 0;
    let known = 0;
    for (let turn = 0; turn < 11; turn += 1) {
      // From some 300 bytes to some 600,000 together.
      const role = turn % 2 === 0 ? 'user' : 'assistant';
      const content = `${LINE.repeat(3 * 2 ** turn)}${turn}`;
      messages.push({ role, content });
      let body = JSON.stringify({ model: 'sim-model', messages });
      if (ascii)
        body = body.replaceAll(
          /[\u0080-\uffff]/g,
          (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
        );
      assert.equal((await post(fleet, body)).status, 200);
      assert.ok(worker.last.body.equals(Buffer.from(body)));
      const { predicted_cached_tokens: cached = 0 } = await fleet.decision();
      // All but the last, unfinished block.
      assert.ok(cached <= known && cached > known - 17, `turn ${turn}: ${cached} of ${known} tokens`);
      bytes += FRAME_BYTES + Buffer.byteLength(`${role}${content}`);
      known = Math.min(bytes, HASHED_BYTES) / BYTES_PER_TOKEN;
    }
    assert.ok(known > 50_000);
  });

test('names that are long strings are names', async () => {
  const long = 'n'.repeat(20_000);
  await using first = await startScriptedWorker(undefined, { models: [`${long}1`] });
  await using second = await startScriptedWorker(undefined, { models: [`${long}2`] });
  await using fleet = await startRouter([first, second], { router: { policy: 'round_robin' } });
  const prompt = 'x'.repeat(50_000);
  for (const [model, worker] of [
    [`${long}2`, second],
    [`${long}1`, first],
    [`${long}2`, second],
  ] as const) {
    assert.equal(
      workerOf(await post(fleet, JSON.stringify({ prompt, model }), '/v1/completions')),
      worker.url,
    );
    assert.equal(
      workerOf(await post(fleet, JSON.stringify({ model, prompt }), '/v1/completions')),
      worker.url,
    );
  }
});

test('a user whose id is long stays with one worker', async () => {
  await using first = await startScriptedWorker();
  await using second = await startScriptedWorker();
  await using fleet = await startRouter([first, second], { router: { policy: 'consistent_hash' } });
  const homes = new Map<string, string | null>();
  for (let round = 0; round < 3; round += 1)
    for (let user = 0; user < 6; user += 1) {
      // Short and long readings in turn.
      const content = 'x'.repeat(round % 2 === 0 ? 10 : 60_000);
      const id = `${'u'.repeat(3_000)}${user}`;
      const worker = workerOf(
        await post(fleet, JSON.stringify({ messages: [{ role: 'user', content }], user: id })),
      );
      assert.equal(worker, homes.get(id) ?? worker);
      homes.set(id, worker);
    }
  assert.equal(new Set(homes.values()).size, 2);
});

test('what is no JSON is refused in the words that a short body hears', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: { modelRules: [{ match: 'alias', rewrite: 'sim-model' }] },
  });
  const text = 'x'.repeat(40_000);
  for (const [body, problem] of [
    [`{"model":"alias","prompt":"${text}\n${text}"}`, /not valid JSON: syntax error at position 40027/],
    [`{"model":"alias","prompt":"${text}\\x${text}"}`, /not valid JSON: syntax error at position 4002[78]/],
    [`{"model":"alias","prompt":"${text}"`, /not valid JSON/],
    [`["${text}"]`, /must be a JSON object/],
    [`{"model":"alias","prompt":"${text}","model":"b"}`, /more than once/],
  ] as const) {
    const response = await post(fleet, body, '/v1/completions');
    assert.equal(response.status, 400, body.slice(-40));
    assert.match(await response.text(), problem);
  }
});

test('a prompt of a hundred and fifty thousand token ids is known again', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { policy: 'cache_aware' } });
  const ids = Array.from({ length: 150_000 }, (_, at) => (at * 7919) % 128_000);
  let cached = 0;
  for (const prompt of [ids.slice(0, 1_600), ids.slice(0, 40_000), ids, ids]) {
    assert.equal(
      (await post(fleet, JSON.stringify({ model: 'sim-model', prompt }), '/v1/completions')).status,
      200,
    );
    const { predicted_cached_tokens: predicted = -1 } = await fleet.decision();
    assert.ok(predicted >= cached && predicted <= prompt.length, `${predicted} of ${cached} tokens`);
    cached = Math.min(prompt.length, 65_536) - 32;
  }
});
