import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { post, streamChat } from '../support/chat.ts';
import { scrape } from '../support/metrics.ts';
import { startPairs } from '../support/pairs.ts';
import type { Script } from '../support/scripted-worker.ts';

type Fields = Record<string, unknown>;

function json(text: string): Script {
  return (response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    response.end(text);
  };
}

const PARAMS = '"kv_transfer_params":{"tp_size":1}';

describe('what a client is told of a prompt', () => {
  const prompt =
    '"prompt_logprobs":[null,{"5":{"logprob":-1.0}}],"logprobs":{"tokens":["a"," b","!"],"token_logprobs":[null,-1.0,-2.50],"text_offset":[0,1,3]}';
  const prefill = `{"choices":[{"text":"a b!",${prompt}}],${PARAMS}}`;
  const own = '"logprobs":{"tokens":["!"],"token_logprobs":[-2.50],"text_offset":[0]}';
  const ask = { prompt: 'a b', max_tokens: 1, logprobs: 1, echo: true };

  it('is what the prefill worker says where the decode worker says nothing', async () => {
    const decode = `{"id":12345678901234567890,"choices":[{"text":"!",${own}}]}`;
    await using pair = await startPairs({ prefills: [json(prefill)], decodes: [json(decode)] });
    const answer = await post(pair.fleet, '/v1/completions', ask);
    assert.equal(
      await answer.text(),
      '{"id":12345678901234567890,"choices":[{"text":"!","logprobs":{"tokens":["a"," b","!"],"token_logprobs":[null,-1.0,-2.50],"text_offset":[0,1,3]},"prompt_logprobs":[null,{"5":{"logprob":-1.0}}]}]}',
    );
  });

  it('is what the decode worker says where it has computed the prompt once more', async () => {
    const decode = `{"choices":[{"text":"!",${prompt}}]}`;
    await using pair = await startPairs({ prefills: [json(prefill)], decodes: [json(decode)] });
    assert.equal(await (await post(pair.fleet, '/v1/completions', ask)).text(), decode);
  });

  it('is left out of an answer that is too long to be held, which is counted', async () => {
    const decode = `{"choices":[{"text":"${'x'.repeat(17 * 1024 * 1024)}",${own}}],${PARAMS}}`;
    await using pair = await startPairs({ prefills: [json(prefill)], decodes: [json(decode)] });
    const text = await (await post(pair.fleet, '/v1/completions', ask)).text();
    assert.equal(text, decode.replace(PARAMS, '"kv_transfer_params":null'));
    const metrics = await scrape(pair.fleet);
    assert.equal(metrics.value('vllm_router_pd_errors_total', { error_type: 'unmerged' }), 1);
  });
});

describe('the tokens of a chat', () => {
  const told = `{"choices":[{"message":{}}],"prompt_token_ids":[11,12],${PARAMS}}`;

  it('are told by the prefill worker and handed to the decode worker', async () => {
    await using pair = await startPairs({ prefills: [json(told)] });
    await (await streamChat(pair.fleet)).text();
    const [prefill, decode] = [pair.prefills[0]!, pair.decodes[0]!].map(
      ({ last }) => JSON.parse(last.body.toString()) as Fields,
    );
    assert.equal(prefill?.['return_token_ids'], true);
    assert.deepEqual(decode?.['kv_transfer_params'], { tp_size: 1, prompt_token_ids: [11, 12] });
    assert.equal('return_token_ids' in (decode ?? {}), false);
  });

  it('are nobody’s where the endpoint takes none', async () => {
    await using pair = await startPairs({ prefills: [json(told)] });
    await (await post(pair.fleet, '/v1/completions', { prompt: 'x', max_tokens: 4 })).text();
    const [prefill, decode] = [pair.prefills[0]!, pair.decodes[0]!].map(
      ({ last }) => JSON.parse(last.body.toString()) as Fields,
    );
    assert.equal('return_token_ids' in (prefill ?? {}), false);
    assert.deepEqual(decode?.['kv_transfer_params'], { tp_size: 1 });
  });
});

describe('an answer of a pair under the name that the client gave', () => {
  it('is changed in all ways at once, whatever the chunks', async () => {
    const event = (data: string): string => `data: ${data}\n\n`;
    const stream = [
      event('{"model":"sim-model","choices":[{"delta":{"content":"a"}}]}'),
      event(
        '{"model":"sim-model","choices":[{"delta":{},"finish_reason":"stop"}],"kv_transfer_params":{"remote_host":"10.0.0.1"}}',
      ),
      event(
        '{"model":"sim-model","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}',
      ),
      event('[DONE]'),
    ].join('');
    const inPieces: Script = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const write = (at: number): void => {
        if (at >= stream.length) response.end();
        else
          response.write(stream.slice(at, at + 7), () => {
            write(at + 7);
          });
      };
      write(0);
    };
    const prefill = `{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":3}},${PARAMS}}`;
    await using pair = await startPairs({
      prefills: [json(prefill)],
      decodes: [inPieces],
      router: { modelRules: [{ match: 'mine', rewrite: 'sim-model' }], responseModel: 'requested' },
    });
    const answer = await streamChat(pair.fleet, { model: 'mine', stream_options: { include_usage: true } });
    assert.equal(
      await answer.text(),
      stream
        .replaceAll('"model":"sim-model"', '"model":"mine"')
        .replace('{"remote_host":"10.0.0.1"}', 'null')
        .replace('"cached_tokens":4', '"cached_tokens":3'),
    );
  });
});
