/** Booleans as vLLM reads them: pydantic takes more than true and false. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startFleet } from '../support/fleet.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const TRUE = ['true', '1', '1.0', '"true"', '"TRUE"', '"1"', '"Yes"', '"on"', '"T"', '"y"'];
const FALSE = ['false', '0', '-0.0', '"false"', '"0"', '"No"', '"off"', '"f"', '"n"', 'null'];
const NEITHER = ['2', '"true "', '"1.0"', '""', '[true]', '{}', 'NaN'];

describe('stream', () => {
  for (const filler of ['', 'x'.repeat(1_100_000)])
    test(`in a ${filler === '' ? 'small' : 'large'} body on every route that streams`, async () => {
      await using worker = await startScriptedWorker();
      await using fleet = await startRouter([worker]);
      const routes = ['chat/completions', 'completions', 'responses', 'messages'].map(
        (name) => `/v1/${name}`,
      );
      for (const path of [...routes, '/generate', '/inference/v1/generate'])
        for (const [values, expected] of [
          [TRUE, true],
          [FALSE, false],
          [NEITHER, false],
        ] as const)
          for (const value of filler === '' ? values : values.slice(0, 4)) {
            const body = `{"stream":${value},"x":"${filler}"}`;
            await (await fetch(fleet.url + path, { method: 'POST', body })).text();
            assert.equal(worker.last.body.toString(), body);
            assert.equal((await fleet.decision()).stream, expected, `${path} ${value}`);
          }
    });

  test('in a form', async () => {
    await using worker = await startScriptedWorker();
    await using fleet = await startRouter([worker]);
    for (const [value, expected] of [
      ['True', true],
      ['1', true],
      ['off', false],
      ['maybe', false],
    ] as const) {
      const form = new FormData();
      form.set('stream', value);
      const response = await fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
      await response.text();
      assert.equal((await fleet.decision()).stream, expected, value);
    }
  });

  test('the worker streams, and the tokens of its stream are counted', async () => {
    await using fleet = await startFleet({
      workers: [{}],
      router: { apiKeys: [{ name: 'a', key: 'sk-a', tokensPerMinute: 100_000 }] },
    });
    for (const stream of ['1', '"yes"'])
      for (const options of ['', ',"stream_options":{"include_usage":"no"}']) {
        const body = `{"model":"sim-model","prompt":"hi","max_tokens":"3","stream":${stream}${options}}`;
        const response = await fetch(`${fleet.url}/v1/completions`, {
          method: 'POST',
          body,
          headers: { authorization: 'Bearer sk-a' },
        });
        const text = await response.text();
        assert.match(text, /^data: .*\[DONE\]\n\n$/s);
        assert.doesNotMatch(text, /"choices":\[\]/, 'the client did not ask for the usage');
        const sent = JSON.parse(
          fleet.workers[0]?.seen.findLast(({ method }) => method === 'POST')?.body.toString() ?? '',
        );
        assert.deepEqual(sent.stream_options, { include_usage: true });
      }
  });
});

test('a response that cannot be read may be one to be stored: it is not made twice', async () => {
  await using worker = await startScriptedWorker((response) => response.writeHead(503).end());
  await using fleet = await startRouter([worker], {
    router: { retry: { maxRetries: 2, initialBackoffMs: 1 } },
  });
  const body = Buffer.from('{"input":"hi","store":true}', 'utf16le');
  for (const [path, times] of [
    ['/v1/responses', 1],
    ['/v1/completions', 2],
  ] as const) {
    const before = worker.received.length;
    assert.equal((await fetch(fleet.url + path, { method: 'POST', body })).status, 503);
    assert.equal(worker.received.length, before + times, path);
  }
});

test('what is stored or made in the background is not made twice, however that is spelt', async () => {
  await using worker = await startScriptedWorker((response) => response.writeHead(503).end());
  await using fleet = await startRouter([worker], {
    router: { retry: { maxRetries: 2, initialBackoffMs: 1 } },
  });
  for (const field of ['store', 'background'])
    for (const [value, times] of [
      ['true', 1],
      ['1', 1],
      ['"on"', 1],
      ['"off"', 2],
    ] as const) {
      const before = worker.received.length;
      const body = `{"model":"sim-model","input":"hi","${field}":${value}}`;
      assert.equal((await fetch(`${fleet.url}/v1/responses`, { method: 'POST', body })).status, 503);
      assert.equal(worker.received.length, before + times, `${field} ${value}`);
    }
});
