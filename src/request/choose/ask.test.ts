import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatPrompt } from '../../api/prompts.ts';
import { tokenChain } from '../../routing/token-chain.ts';
import type { Runtime } from '../runtime.ts';
import { BodyFields } from '../understand/body-fields.ts';
import { RequestAsk } from './ask.ts';

const CHARS_PER_TOKEN = 4;

/** Just what an ask reads of a runtime. */
const rt = {
  tokenRatio: { charsPerToken: () => CHARS_PER_TOKEN, charsPerTokenOf: () => CHARS_PER_TOKEN },
  answered: { beginningOf: () => undefined },
  registry: { membersFor: () => ({ members: [{ adapters: new Set(['sql-lora']) }] }) },
} as unknown as Runtime;

function ask(more: Readonly<Record<string, unknown>> = {}): RequestAsk {
  const body = { model: 'm', messages: [{ role: 'user', content: 'Tell me a story. '.repeat(40) }], ...more };
  const bytes = Buffer.from(JSON.stringify(body));
  return new RequestAsk(
    rt,
    { req: { rawHeaders: [] }, target: '/v1/chat/completions' },
    {
      ...{ model: 'm', stream: false, fields: new BodyFields(bytes, body), prompt: chatPrompt },
      bytes: bytes.length,
    },
  );
}

const ids = Uint32Array.from({ length: 100 }, (_, at) => 7 * at + 3);

describe('the tokens of a request', () => {
  it('are estimated until they are known, and then every count is theirs', () => {
    for (const looksBefore of [false, true]) {
      const one = ask();
      const estimate = ask().blocks();
      if (looksBefore) one.blocks();
      assert.deepEqual([one.tokenIds(), one.tokensSource], [undefined, 'estimate']);
      one.setTokenIds(ids, 'local');
      assert.deepEqual([one.tokenIds(), one.tokensSource, one.promptTokens()], [ids, 'local', 100]);
      const { totalTokens, tokensPerBlock, hashes, count } = one.blocks();
      assert.deepEqual([totalTokens, count, hashes], [100, estimate.count, estimate.hashes]);
      assert.ok(Math.abs(tokensPerBlock / 100 - estimate.tokensPerBlock / estimate.totalTokens) < 1e-9);
    }
  });

  it('make one chain for each block size, beside the one of the text', () => {
    const one = ask();
    assert.equal(one.chain({ blockSize: 16 }), undefined);
    one.setTokenIds(ids, 'worker');
    const sixteen = one.chain({ blockSize: 16 });
    const expected = tokenChain(ids, { blockSize: 16, adapter: '', salt: '' });
    assert.deepEqual([sixteen, sixteen?.count], [expected, 6]);
    assert.equal(one.chain({ blockSize: 16 }), sixteen);
    assert.equal(one.chain({ blockSize: 32 })?.count, 3);
    assert.equal(one.chain('text'), one.blocks());
    one.setTokenIds(ids.slice(0, 32), 'request');
    assert.equal(one.chain({ blockSize: 16 })?.count, 2);
  });

  it('are cached under their salt', () => {
    const [plain, salted] = [ask(), ask({ cache_salt: 's' })];
    for (const each of [plain, salted]) each.setTokenIds(ids, 'worker');
    const chain = salted.chain({ blockSize: 16 });
    assert.notDeepEqual(chain?.hashes, plain.chain({ blockSize: 16 })?.hashes);
    assert.deepEqual(chain, tokenChain(ids, { blockSize: 16, adapter: '', salt: 's' }));
  });

  it('are cached for each adapter apart, and for all names of a model together', () => {
    const [base, alias, adapter] = ['m', 'alias', 'sql-lora'].map((model) => ask().under(model));
    for (const each of [base, alias, adapter]) each?.setTokenIds(ids, 'worker');
    const [one, other] = [base, alias].map((each) => each?.chain({ blockSize: 16 }));
    assert.deepEqual(one, other);
    assert.deepEqual(
      adapter?.chain({ blockSize: 16 }),
      tokenChain(ids, { blockSize: 16, adapter: 'sql-lora', salt: '' }),
    );
    assert.notDeepEqual(adapter?.chain({ blockSize: 16 })?.hashes, one?.hashes);
  });

  it('are let go of when the answer has begun, their number is not', () => {
    const one = ask();
    one.setTokenIds(ids, 'cache');
    one.chain({ blockSize: 16 });
    one.letGo();
    assert.deepEqual([one.tokenIds(), one.chain({ blockSize: 16 })], [undefined, undefined]);
    assert.deepEqual([one.promptTokens(), one.tokensSource], [100, 'cache']);
  });
});
