import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkerDefaults } from '../config/settings/settings.ts';
import { registrationOf, workerEntry, type Registration } from '../config/schema/worker-entry.ts';
import { specsOf } from '../config/settings/worker-specs.ts';
import { isSame, plainRegistration, requestOf } from './registration.ts';
import { fieldProblems } from './validate.ts';

const ONE_RANK = { regular: 1, prefill: 1, decode: 1 };
const DEFAULTS: WorkerDefaults = {
  ranksPerUrl: ONE_RANK,
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
    assert.match(problems({ url: 'http://a', worker_type: 'other' })[0] ?? '', /^worker_type: /);
    for (const worker_type of [undefined, 'regular', 'decode'])
      assert.deepEqual(problems({ url: 'http://a', worker_type, bootstrap_port: 9001 }), [
        'bootstrap_port: expected worker_type prefill: no other worker is asked for blocks',
      ]);
    assert.deepEqual(problems({ url: 'http://a', worker_type: 'prefill', bootstrap_port: 0 }), [
      'bootstrap_port: expected a port other than 0',
    ]);
  });

  it('knows what prefill and decode workers need', () => {
    for (const worker_type of ['prefill', 'decode'])
      assert.match(
        problems({ url: 'unix:///run/w.sock', worker_type })[0] ?? '',
        /^url: expected http\(s\):\/\/host:port for a (prefill|decode) worker: the transfer of KV blocks/,
      );
    const { role, bootstrapPort, kvTransfer } = parse({
      url: 'http://p:8000',
      worker_type: 'prefill',
      bootstrap_port: 8998,
      kv_transfer: { engine_id: 'e', host: 'p-kv', port: 5600, tp_size: 2, pp_size: 1, dp_size: 4 },
    });
    assert.deepEqual([role, bootstrapPort], ['prefill', 8998]);
    assert.deepEqual(kvTransfer, {
      ...{ engineId: 'e', host: 'p-kv', port: 5600 },
      ...{ tpSize: 2, ppSize: 1, dpSize: 4 },
    });
    const receiver = (given: object): unknown =>
      parse({ url: 'http://[::1]:8000', worker_type: 'decode', kv_transfer: { receiver: given } }).kvTransfer
        ?.receiver;
    assert.deepEqual(receiver({}), { host: '[::1]', initPorts: [8300], allocPorts: [8400] });
    assert.deepEqual(receiver({ host: 'd', init_ports: [1, 2], alloc_ports: [3, 4] }), {
      ...{ host: 'd', initPorts: [1, 2], allocPorts: [3, 4] },
    });
    assert.match(
      problems({ url: 'http://d', kv_transfer: { receiver: { init_ports: [1, 2] } } })[0] ?? '',
      /^kv_transfer.receiver: expected as many alloc_ports as init_ports/,
    );
  });

  it('survives the way through the state file', () => {
    for (const body of [
      { url: 'http://a' },
      { url: 'http://a', tokenizer_path: 't', reasoning_parser: 'r', tool_parser: 'p', chat_template: 'c' },
      { url: 'http://p:1', worker_type: 'prefill', bootstrap_port: 1, kv_transfer: { engine_id: 'e' } },
      { url: 'http://d:1', worker_type: 'decode', kv_transfer: { tp_size: 2, receiver: { host: 'd' } } },
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
      { worker_type: 'decode' },
      { kv_transfer: { tp_size: 2 } },
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
      specsOf(parse({ url }), { ...DEFAULTS, ranksPerUrl: { ...ONE_RANK, regular: 3 } }).map(({ id }) => id);
    assert.deepEqual(ids('http://a'), ['http://a@0', 'http://a@1', 'http://a@2']);
    assert.deepEqual(ids('http://a@1'), ['http://a@1']);
  });
});
