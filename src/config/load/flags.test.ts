import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseFlags } from './flags.ts';
import { problemLine } from './layer.ts';

function values(line: string): Record<string, unknown> {
  const reading = parseFlags(line.split(' '));
  if (reading.kind !== 'flags') assert.fail(reading.kind);
  assert.deepEqual(reading.problems, []);
  return Object.fromEntries([...reading.layer].map(([name, entry]) => [name, entry.value]));
}

function problems(line: string): string[] {
  const reading = parseFlags(line.split(' '));
  if (reading.kind !== 'flags') assert.fail(reading.kind);
  return reading.problems.map(problemLine);
}

describe('flags that are refused', () => {
  for (const [line, expected] of [
    ['--nonsense', ['--nonsense: unknown flag']],
    // Its values are not reported again.
    ['--nonsense a b c', ['--nonsense: unknown flag']],
    ['--worker-url http://a', ['--worker-url: unknown flag; did you mean --worker-urls?']],
    ['--metrics-port 1', ['--metrics-port: unknown flag; did you mean --prometheus-port?']],
    ['-p 1', ['-p: unknown flag']],
    ['--', ['--: unknown flag']],
    ['--port', ['--port: needs a value']],
    ['--port --host x', ['--port: needs a value']],
    [
      '--prefill http://p http://q --decode http://d',
      [
        '"http://q": unexpected argument: it belongs to no flag; every prefill worker needs a --prefill of its own',
      ],
    ],
    ['--port 1 2', ['"2": unexpected argument: it belongs to no flag']],
    ['--port 1 --port 1', ['--port: is given twice']],
    ['--port 1 --port=1', ['--port: is given twice']],
    [
      '--data-parallel-size 2 --intra-node-data-parallel-size 2',
      ['--intra-node-data-parallel-size: is given twice (it is the same as --data-parallel-size)'],
    ],
    [
      '--disable-retries --no-disable-retries',
      ['--no-disable-retries: is given twice (it is the same as --disable-retries)'],
    ],
    ['--no-access-log=true', ['--no-access-log: takes no value']],
    ['--access-log false', ['"false": unexpected argument: it belongs to no flag']],
    ['--config-file a --config-file b', ['--config-file: is given twice']],
    ['--config a -c b', ['-c: is given twice (it is the same as --config)']],
    ['-c', ['-c: needs a value']],
    ['--worker-urls', ['--worker-urls: needs a value']],
    ['--worker-urls --port 1', ['--worker-urls: needs a value']],
    ['--worker-urls=', ['--worker-urls: needs a value']],
    ['--cors-allowed-origins --port 1', ['--cors-allowed-origins: needs a value']],
    ['--config-file=', ['--config-file: needs a value']],
    ['--no-port', ['--no-port: unknown flag']],
    // Parts that do not exist.
    ['--service-discovery', ['--service-discovery: not offered in this version']],
    ['--worker-api-keys http://a=k', ['--worker-api-keys: unknown flag']],
  ] as const) {
    it(line, () => {
      assert.deepEqual(problems(line), expected);
    });
  }
});

describe('flags that are read', () => {
  it('takes values behind a space and behind =', () => {
    assert.deepEqual(values('--port 1 --host=h=i'), { port: 1, host: 'h=i' });
  });

  it('takes a negative number as a value, for the schema to judge', () => {
    assert.deepEqual(values('--port -1'), { port: -1 });
  });

  it('adds up lists over values and repetitions', () => {
    const { worker_urls: urls } = values(
      '--worker-urls http://a http://b --port 1 --worker-urls=http://c http://d',
    );
    assert.deepEqual(urls, ['http://a', 'http://b', 'http://c', 'http://d']);
  });

  it('switches booleans on and off', () => {
    assert.deepEqual(
      values('--disable-retries --no-access-log --metrics=false --disable-circuit-breaker=true'),
      {
        disable_retries: true,
        access_log: false,
        'metrics.enabled': false,
        disable_circuit_breaker: true,
      },
    );
  });

  it('leaves a text that is no number to the schema', () => {
    assert.deepEqual(values('--port 80x --cache-threshold .5 --retry-backoff-multiplier 1e1'), {
      port: '80x',
      'policy.cache_threshold': 0.5,
      'retry.backoff_multiplier': 10,
    });
  });

  it('finds help and version behind other flags, wrong ones included', () => {
    assert.equal(parseFlags(['--port', '1', '-h']).kind, 'help');
    assert.equal(parseFlags(['--nonsense', '--version']).kind, 'version');
    assert.equal(parseFlags(['-V']).kind, 'version');
  });

  it('names files', () => {
    const reading = parseFlags(['--config-file', 'a.yaml', '--env-file=b.env']);
    assert.ok(reading.kind === 'flags');
    assert.equal(reading.configFile, 'a.yaml');
    assert.equal(reading.envFile, 'b.env');
    for (const line of [['-c', 'a.yaml'], ['--config', 'a.yaml'], ['--config=a.yaml']]) {
      const short = parseFlags(line);
      assert.ok(short.kind === 'flags');
      assert.deepEqual([short.configFile, short.problems], ['a.yaml', []]);
    }
  });
});
