import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tokenizerFolder } from '../../../test/support/tokenizers.ts';
import type { WorkerTokens } from '../worker-tokenizers.ts';
import { CHAT_FEATURES, type ContentFormat } from './local-chat.ts';
import { LocalTokenizer } from './local-tokenizer.ts';
import type { Probe } from './probes.ts';
import { prove, type Proof } from './prove.ts';

const CHATML = LocalTokenizer.read(tokenizerFolder('chatml'));
const PARTS = LocalTokenizer.read(tokenizerFolder('parts'));

function run(tokenizer: LocalTokenizer, { route, members }: Probe, format: ContentFormat) {
  const json = Buffer.from(JSON.stringify(members));
  const job = { identity: tokenizer.identity, members: json, route, format, features: CHAT_FEATURES };
  return tokenizer.tokensOf(job);
}

/** Compares `ours` with a worker that has `theirs`, which it answers with unless `answer` says otherwise. */
function compare(
  ours: LocalTokenizer,
  theirs: LocalTokenizer,
  answer: (probe: Probe) => WorkerTokens | undefined = () => undefined,
): Promise<Proof> {
  const format = theirs === PARTS ? 'openai' : 'string';
  return prove({
    specials: ours.specials,
    ofOurs: (probe, way) => Promise.resolve(run(ours, probe, way)),
    ofWorker: (probe) => {
      const said = answer(probe);
      if (said) return Promise.resolve(said);
      const tokens = run(theirs, probe, format);
      return Promise.resolve(tokens.kind === 'ids' ? tokens : { kind: 'refused' });
    },
  });
}

describe('a tokenizer beside that of a worker', () => {
  it('is proven where all prompts have the same tokens', async () => {
    const proof = await compare(CHATML, CHATML);
    assert.deepEqual(proof, {
      state: 'proven',
      format: 'string',
      features: CHAT_FEATURES,
      reason: undefined,
    });
  });

  it('is proven with the way of handing content to templates that the worker has', async () => {
    const proof = await compare(PARTS, PARTS);
    assert.equal(proof.state === 'proven' && proof.format, 'openai');
  });

  it('differs with another template, and says where', async () => {
    const proof = await compare(CHATML, PARTS);
    assert.equal(proof.state, 'differs');
    assert.match(proof.reason, /^a prompt: token 0 is \d+, the worker's is \d+$/);
  });

  for (const feature of CHAT_FEATURES)
    it(`is used without ${feature} where that differs or is refused`, async () => {
      for (const answer of [{ kind: 'refused' }, { kind: 'ids', ids: Uint32Array.of(1) }] as const) {
        const proof = await compare(CHATML, CHATML, (probe) =>
          probe.feature === feature ? answer : undefined,
        );
        assert.deepEqual(proof, {
          ...{ state: 'proven', format: 'string' },
          features: CHAT_FEATURES.filter((other) => other !== feature),
          reason: `not used for chats with ${feature}`,
        });
      }
    });

  for (const kind of ['busy', 'unoffered', 'refused', 'failed'] as const)
    it(`is not proven by a worker of which a plain prompt is ${kind}`, async () => {
      const proof = await compare(CHATML, CHATML, () => ({ kind }));
      assert.equal(proof.state, 'unproved');
    });

  it('differs where the last prompt that all depends on is another', async () => {
    const proof = await compare(CHATML, CHATML, ({ name }) =>
      name === 'no turn for the model' ? { kind: 'ids', ids: Uint32Array.of(1, 2) } : undefined,
    );
    assert.equal(proof.state, 'differs');
    assert.match(proof.reason, /^no turn for the model: token 0/);
  });
});
