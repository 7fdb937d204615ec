import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readYaml } from '../load/file.ts';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { resolveLayers } from '../load/resolve.ts';
import { good, lines } from '../test-support.ts';
import type { PdSettings, Settings } from './settings.ts';

function flags(line: string): LoadResult {
  return loadConfig({ argv: line.split(' ').filter(Boolean), env: {}, cwd: '/' });
}

function file(yaml: string): LoadResult {
  const { layer, problems } = readYaml(yaml, 'r.yaml');
  if (problems.length > 0) return { kind: 'error', problems };
  return { ...resolveLayers([layer], { needsWorkers: true, notices: [] }) };
}

/** `http://p:1 prefill 8998`, one for each worker. */
function workersOf({ workers }: Settings): string[] {
  return workers.map(({ id, traits }) => [id, traits.role, traits.bootstrapPort].filter(Boolean).join(' '));
}

function policiesOf({ pd, policy }: Settings): Record<string, unknown> {
  const { prefillPolicy, decodePolicy, policyNamed, split } = pd;
  return {
    ...{ prefill: prefillPolicy?.type, decode: decodePolicy?.type },
    ...{ default: policyNamed ? policy.type : undefined, split },
  };
}

const PAIR = '--prefill http://p:1 --decode http://d:1';

describe('--prefill URL [PORT|none]', () => {
  it('stands anywhere, any number of times, and leaves what follows it', () => {
    const { settings } = good(
      flags(
        '--prefill http://p:1 8998 --worker-urls http://a:1 --prefill http://p:2 NONE http://b:1 --prefill http://p:3 --decode http://d:1 --decode http://d:2 --prefill=http://p:4 7',
      ),
    );
    assert.deepEqual(workersOf(settings), [
      ...['http://a:1 regular', 'http://b:1 regular', 'http://p:1 prefill 8998', 'http://p:2 prefill'],
      ...['http://p:3 prefill', 'http://p:4 prefill 7', 'http://d:1 decode', 'http://d:2 decode'],
    ]);
  });

  for (const [line, problem] of [
    ['--decode http://d --prefill', '--prefill: requires a URL immediately after'],
    ['--prefill --decode http://d', '--prefill: requires a URL immediately after, got --decode'],
    ['--prefill= --decode http://d', '--prefill: requires a URL immediately after'],
    [
      '--prefill p:1 --decode http://d',
      /^--prefill: expected a URL with its scheme: .*did you mean http:\/\/p:1\?/,
    ],
    [
      `${PAIR} --prefill http://p:2 0`,
      '--prefill: expected a bootstrap port from 1 to 65535, or null, got 0',
    ],
    [
      `${PAIR} --prefill http://p:2 65536`,
      '--prefill: expected a bootstrap port from 1 to 65535, or null, got 65536',
    ],
    [`${PAIR} --prefill http://p:1 none`, /^--prefill: expected every worker once, got "http:\/\/p:1" again/],
    [
      '--prefill unix:///p.sock --decode http://d',
      /^--prefill: expected http\(s\).* needs the host .*, got "unix:\/\/\/p.sock"/,
    ],
    [
      '--prefill http://p --decode unix:///d.sock',
      /^--decode: expected http\(s\).*, got "unix:\/\/\/d.sock"/,
    ],
  ] as const) {
    it(`is told apart from ${line}`, () => {
      const [first = ''] = lines(flags(line));
      if (typeof problem === 'string') assert.equal(first, problem);
      else assert.match(first, problem);
    });
  }
});

describe('modes', () => {
  it('have workers in pairs, strings and mappings', () => {
    const { settings } = good(
      file(
        'mode:\n  type: prefill_decode\n  prefill_urls: [[http://p:1, 8998], [http://p:2, null], http://p:3, {url: http://p:4, bootstrap_port: 9}, [http://p:5]]\n  decode_urls: [http://d:1, {url: http://d:2}]\n',
      ),
    );
    assert.deepEqual(workersOf(settings), [
      ...['http://p:1 prefill 8998', 'http://p:2 prefill', 'http://p:3 prefill', 'http://p:4 prefill 9'],
      ...['http://p:5 prefill', 'http://d:1 decode', 'http://d:2 decode'],
    ]);
  });

  it('hand over as their routers do', () => {
    const connector = (line: string): PdSettings['connector'] =>
      good(flags(`${PAIR} ${line}`)).settings.pd.connector;
    assert.equal(connector(''), 'auto');
    assert.equal(connector('--pd-disaggregation'), 'sglang');
    assert.equal(connector('--vllm-pd-disaggregation'), 'auto');
    assert.equal(connector('--pd-disaggregation --kv-connector nixl'), 'nixl');
    for (const [type, expected] of [
      ['prefill_decode', 'sglang'],
      ['vllm_prefill_decode', 'auto'],
      ['pd_disaggregation', 'auto'],
    ]) {
      const yaml = `mode: {type: ${type}, prefill_urls: [http://p], decode_urls: [http://d]}\n`;
      assert.equal(good(file(yaml)).settings.pd.connector, expected);
    }
  });

  for (const [what, result, expected] of [
    [
      'both flags',
      flags(`${PAIR} --pd-disaggregation --vllm-pd-disaggregation`),
      '--vllm-pd-disaggregation: cannot be given beside --pd-disaggregation',
    ],
    [
      'a flag twice',
      flags(`${PAIR} --pd-disaggregation --pd-disaggregation`),
      '--pd-disaggregation: is given twice',
    ],
    ['a flag with a value', flags(`${PAIR} --pd-disaggregation=x`), '--pd-disaggregation: takes no value'],
    [
      'no decode worker',
      flags('--vllm-pd-disaggregation --prefill http://p'),
      /^--vllm-pd-disaggregation: needs prefill and decode workers, and there are no decode workers: give decode_urls \(--decode URL\), /,
    ],
    [
      'nobody',
      file('mode: {type: pd_disaggregation}\nworker_urls: [http://w]\n'),
      /^r.yaml:1:14: mode.type: needs prefill and decode workers, and there are no prefill and no decode workers: /,
    ],
    [
      'regular with a decode worker',
      file('mode: {type: regular}\nworkers: [{url: http://d, worker_type: decode}]\n'),
      'r.yaml:1:14: mode.type: regular has no decode workers, of which there are some: leave it out',
    ],
    [
      'workers in both places',
      file('mode: {decode_urls: [http://d]}\ndecode_urls: [http://d]\n'),
      'r.yaml:1:21: mode.decode_urls: decode_urls says the same; give one of the two',
    ],
    [
      'a port of 0',
      file('prefill_urls:\n  - [http://p, 0]\n'),
      'r.yaml:2:16: prefill_urls[0][1]: expected a bootstrap port from 1 to 65535, or null, got 0',
    ],
    [
      'a field too many',
      file('prefill_urls:\n  - {url: http://p, port: 1}\n'),
      /^r.yaml:2:\d+: prefill_urls\[0\].port: is unknown: expected url and bootstrap_port/,
    ],
    [
      'something else',
      file('prefill_urls: [1]\ndecode_urls: [{host: d}]\n'),
      /^r.yaml:1:16: prefill_urls\[0\]: expected a URL, \[URL, bootstrap port or null\], or a mapping/,
    ],
    [
      'MoRI-IO without a place to register at',
      flags(`${PAIR} --kv-connector moriio`),
      /^--kv-connector: moriio requires pd.discovery_address \(--vllm-discovery-address\)/,
    ],
    [
      'an unknown policy',
      file('prefill_urls: [http://p]\nprefill_policy: smart\n'),
      /^r.yaml:2:17: prefill_policy.type: expected one of random, .*, pair_cost, got "smart"/,
    ],
    [
      'another bound of the index',
      file(
        'decode_urls: [http://d]\npolicy: {type: cache_aware, max_tree_size: 5}\ndecode_policy: {type: least_work, max_tree_size: 6}\n',
      ),
      'r.yaml:3:50: decode_policy.max_tree_size: the predicted index is one for all policies, and cache_aware has it at 5, got 6',
    ],
    [
      'a network that is none',
      flags(`${PAIR} --vllm-discovery-address 0.0.0.0:1 --pd-discovery-allow 10.0.0.0/33`),
      /^--pd-discovery-allow: expected a network as CIDR/,
    ],
    [
      'a network for nobody',
      flags(`${PAIR} --pd-discovery-allow 10.0.0.0/8`),
      /^--pd-discovery-allow: has no effect without/,
    ],
    [
      'an address without a port',
      flags('--vllm-discovery-address 0.0.0.0'),
      /^--vllm-discovery-address: expected host:port/,
    ],
  ] as const) {
    it(`are refused: ${what}`, () => {
      const [first = ''] = lines(result);
      if (typeof expected === 'string') assert.equal(first, expected);
      else assert.match(first, expected);
    });
  }

  it('need no workers where these come by themselves', () => {
    const { settings } = good(flags('--vllm-pd-disaggregation --vllm-discovery-address 0.0.0.0:30001'));
    assert.deepEqual(settings.pd.discovery, { address: '0.0.0.0:30001', allow: [] });
    good(file('mode: {type: vllm_prefill_decode, discovery_address: "[::]:30001"}\n'));
    good(file('mode: {type: pd_disaggregation}\nstate_file: s\n'));
    good(file('mode: {type: pd_disaggregation}\nenable_igw: true\n'));
  });
});

describe('the policy of a half', () => {
  it('is its own, else the one that is named, else the cost of pairs', () => {
    const of = (line: string): Record<string, unknown> => policiesOf(good(flags(`${PAIR} ${line}`)).settings);
    const [auto, always] = [{ kind: 'auto' }, { kind: 'always' }];
    const none = { prefill: undefined, decode: undefined, default: undefined };
    assert.deepEqual(of(''), { ...none, split: auto });
    assert.deepEqual(of('--policy least_work'), { ...none, default: 'least_work', split: always });
    assert.deepEqual(of('--prefill-policy random'), { ...none, prefill: 'random', split: always });
    assert.deepEqual(of('--decode-policy=round_robin --pd-split auto'), {
      ...none,
      decode: 'round_robin',
      split: auto,
    });
    const pairs = { prefill: 'pair_cost', decode: 'pair_cost', default: 'random', split: auto };
    assert.deepEqual(of('--policy random --prefill-policy pair_cost --decode-policy pair_cost'), pairs);
    assert.deepEqual(of('--pd-split 512'), { ...none, split: { kind: 'threshold', tokens: 512 } });
  });

  it('stands in the mode of older files, with its parameters', () => {
    const { pd } = good(
      file(
        'mode:\n  type: vllm_prefill_decode\n  prefill_urls: [[http://p, null]]\n  decode_urls: [http://d]\n  prefill_policy: {type: cache_aware, cache_threshold: 0.25, max_tree_size: 1000}\n  decode_policy: power_of_two\n',
      ),
    ).settings;
    assert.ok(pd.prefillPolicy?.type === 'cache_aware');
    assert.equal(pd.prefillPolicy.cacheThreshold, 0.25);
    assert.equal(pd.decodePolicy?.type, 'power_of_two');
  });

  it('has the parameters of policy, where it is the same one by name', () => {
    const threshold = (line: string): unknown => {
      const { prefillPolicy } = good(flags(`${PAIR} ${line}`)).settings.pd;
      return prefillPolicy && 'cacheThreshold' in prefillPolicy && prefillPolicy.cacheThreshold;
    };
    assert.equal(threshold('--prefill-policy cache_aware'), 0.3);
    assert.equal(threshold('--policy cache_aware --cache-threshold 0.7 --prefill-policy cache_aware'), 0.7);
  });

  it('says when nobody is there whom it could choose', () => {
    const { notices } = good(flags('--worker-urls http://w --decode-policy random --kv-connector nixl'));
    assert.deepEqual(notices, [
      'decode_policy: without effect until a prefill worker is registered',
      'pd.kv_connector: without effect until a prefill worker is registered',
    ]);
  });
});

describe('workers that are in no pair', () => {
  const noticesOf = (line: string): readonly string[] => good(flags(line)).notices;

  it('are told of where nobody is there for the other half', () => {
    const none = ['prefill workers: they get no requests until a decode worker is registered'];
    assert.deepEqual(noticesOf('--prefill http://p'), none);
    assert.deepEqual(noticesOf('--prefill http://p --worker-urls http://w'), none);
    assert.deepEqual(noticesOf(PAIR), []);
  });

  it('are told of where their connector has to know more', () => {
    for (const [connector, wanted] of [
      ['nixl-push', 'prefill workers without kv_transfer.engine_id'],
      ['mooncake', 'prefill workers without a bootstrap port'],
      ['lmcache', 'decode workers without kv_transfer.receiver'],
    ])
      assert.equal(
        noticesOf(`--prefill http://p --decode http://d --kv-connector ${connector}`)[0],
        `pd.kv_connector: ${connector}: ${wanted} are in no pair`,
      );
    assert.deepEqual(noticesOf(`--prefill http://p 8998 --decode http://d --kv-connector mooncake`), []);
    assert.deepEqual(lines(flags(`${PAIR} --kv-connector p2p-nccl`)), [
      '--kv-connector: p2p-nccl requires pd.discovery_address (--vllm-discovery-address): its workers register themselves there',
    ]);
  });
});

describe('ranks', () => {
  it('are made for each half apart', () => {
    const { settings } = good(
      flags(
        `${PAIR} --worker-urls http://w --data-parallel-size 2 --prefill-data-parallel-size 3 --decode-data-parallel-size 1`,
      ),
    );
    assert.deepEqual(
      settings.workers.map(({ id }) => id),
      ['http://w@0', 'http://w@1', 'http://p:1@0', 'http://p:1@1', 'http://p:1@2', 'http://d:1'],
    );
    assert.deepEqual(lines(flags('--prefill http://p@1 --decode http://d --prefill-data-parallel-size 2')), [
      '--prefill: expected a URL without @rank: prefill_data_parallel_size 2 makes the ranks, got "http://p@1"',
    ]);
  });
});

describe('keys of older files', () => {
  it('mean what they meant', () => {
    const { pd } = good(
      file(
        'prefill_urls: [http://p]\ndecode_urls: [http://d]\nenable_profiling: true\nprofile_timeout_secs: 3\n',
      ),
    ).settings;
    assert.deepEqual([pd.profile, pd.profileTimeoutMs], [true, 3000]);
  });
});
