import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkerDefaults } from '../config/settings/settings.ts';
import { registrationOf, workerEntry, type Registration } from '../config/schema/worker-entry.ts';
import { specsOf } from '../config/settings/worker-specs.ts';
import { isSame, plainRegistration, requestOf } from './registration.ts';
import { fieldProblems } from './validate.ts';

const DEFAULTS: WorkerDefaults = {
  ranksPerUrl: 1,
  apiKeys: new Map([['http://a', 'key-of-a']]),
  apiKey: 'general',
};

function parse(body: unknown): Registration {
  return registrationOf(workerEntry.parse(body));
}

function problems(body: unknown): string[] {
  const parsed = workerEntry.safeParse(body);
  assert.equal(parsed.success, false);
  return parsed.success ? [] : fieldProblems(parsed.error).map(({ path, message }) => `${path}: ${message}`);
}

describe('WorkerConfigRequest', () => {
  it('needs a URL and nothing else', () => {
    assert.deepEqual(
      parse({ url: 'HTTP://Host:8000//' }),
      plainRegistration({ baseUrl: 'http://host:8000', rank: undefined }),
    );
    assert.deepEqual(problems({}), ['url: missing, expected string']);
  });

  it('takes null for what is left out, as clients with optional fields write it', () => {
    const nulls = {
      model_id: null,
      worker_type: null,
      priority: null,
      cost: null,
      labels: null,
      api_key: null,
    };
    assert.deepEqual(parse({ url: 'http://a', ...nulls }), parse({ url: 'http://a' }));
  });

  it('names every field that is wrong', () => {
    assert.deepEqual(
      problems({
        url: 3,
        priority: 1.5,
        cost: -1,
        labels: { tier: 7 },
        model_id: '',
        api_key: 'a b',
        nonsense: 1,
      }).map((problem) => problem.split(':')[0]),
      ['url', 'model_id', 'priority', 'cost', 'labels.tier', 'api_key', 'nonsense'],
    );
    assert.match(problems({ url: 'http://a/v1' })[0] ?? '', /^url: .*drop \/v1/);
    assert.match(problems({ url: 'http://a', priority: 2 ** 32 })[0] ?? '', /^priority: /);
    const labels = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`l${at}`, '']));
    assert.match(problems({ url: 'http://a', labels })[0] ?? '', /^labels: expected at most 64/);
    assert.match(problems({ url: 'http://a', labels: 'gold' })[0] ?? '', /^labels: expected object/);
    for (const body of [null, [], 'http://a', 1]) assert.equal(problems(body).length, 1);
  });

  it('refuses what would be accepted and ignored', () => {
    for (const worker_type of ['prefill', 'decode', 'other'])
      assert.match(problems({ url: 'http://a', worker_type })[0] ?? '', /^worker_type: expected regular/);
    assert.match(
      problems({ url: 'http://a', bootstrap_port: 9001 })[0] ?? '',
      /^bootstrap_port: is not accepted/,
    );
  });

  it('survives the way through the state file', () => {
    for (const body of [
      { url: 'http://a' },
      { url: 'http://a', tokenizer_path: 't', reasoning_parser: 'r', tool_parser: 'p', chat_template: 'c' },
      { url: 'unix:///run/w.sock@3', model_id: 'm', priority: 0, cost: 0, labels: { a: '' }, api_key: 'k' },
    ]) {
      const registration = parse(body);
      assert.deepEqual(parse(JSON.parse(JSON.stringify(requestOf(registration)))), registration);
    }
  });
});

describe('a registration', () => {
  it('is the same as another when it comes to the same', () => {
    const plain = parse({ url: 'http://a' });
    assert.ok(isSame(plain, parse({ url: 'http://a', priority: 50, cost: 1, labels: {} }), DEFAULTS));
    assert.ok(isSame(plain, parse({ url: 'http://a', api_key: 'key-of-a' }), DEFAULTS));
    for (const other of [
      { api_key: 'x' },
      { priority: 51 },
      { cost: 2 },
      { labels: { a: 'b' } },
      { model_id: 'm' },
      { tokenizer_path: 't' },
    ])
      assert.ok(!isSame(plain, parse({ url: 'http://a', ...other }), DEFAULTS), JSON.stringify(other));
  });

  it('takes the key given, else the one configured for the URL, else the general one', () => {
    const keyOf = (body: object): unknown => specsOf(parse(body), DEFAULTS)[0]?.apiKey;
    assert.equal(keyOf({ url: 'http://a', api_key: 'mine' }), 'mine');
    assert.equal(keyOf({ url: 'http://a' }), 'key-of-a');
    assert.equal(keyOf({ url: 'http://b' }), 'general');
  });

  it('stands for all ranks where the configuration says so, except where it names one', () => {
    const ids = (url: string): string[] =>
      specsOf(parse({ url }), { ...DEFAULTS, ranksPerUrl: 3 }).map(({ id }) => id);
    assert.deepEqual(ids('http://a'), ['http://a@0', 'http://a@1', 'http://a@2']);
    assert.deepEqual(ids('http://a@1'), ['http://a@1']);
  });
});
