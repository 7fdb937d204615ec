import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readYaml } from './file.ts';
import { problemLine } from './layer.ts';
import { resolveLayers } from './resolve.ts';
import { good, lines } from '../test-support.ts';

/** Reads and resolves one file. */
function resolveYaml(text: string) {
  const reading = readYaml(text, 'r.yaml');
  const resolved = resolveLayers([reading.layer], { needsWorkers: false, notices: [] });
  if (reading.problems.length === 0) return resolved;
  const more = resolved.kind === 'error' ? resolved.problems : [];
  return { kind: 'error' as const, problems: [...reading.problems, ...more] };
}

describe('a file with something wrong says what and where', () => {
  for (const [what, text, expected] of [
    ['syntax', 'host: [a\n', 'r.yaml:2:1: not valid YAML: Flow sequence'],
    [
      'a duplicate key',
      'host: a\nhost: b\n',
      'r.yaml:2:1: not valid YAML: host stands here for the second time',
    ],
    [
      'a duplicate URL',
      'worker_api_keys:\n  http://a:1: x\n  http://a:1: y\n',
      'r.yaml:3:3: not valid YAML: http://a:1 stands here for the second time',
    ],
    [
      'two documents',
      'host: a\n---\nhost: b\n',
      'r.yaml:2:1: not valid YAML: Source contains multiple documents',
    ],
    ['a tag', 'host: !secret x\n', 'r.yaml:1:7: not valid YAML: Unresolved tag: !secret'],
    ['an alias to nothing', 'host: *x\n', 'r.yaml: not valid YAML: Unresolved alias'],
    ['a list at the top', '- a\n', 'r.yaml:1:1: configuration: expected a mapping of keys, got ["a"]'],
    ['a word at the top', 'hello\n', 'r.yaml:1:1: configuration: expected a mapping of keys, got "hello"'],
    ['an unknown key', 'host: a\nprot: 1\n', 'r.yaml:2:1: prot: unknown key; did you mean port?'],
    [
      'an unknown nested key',
      'retry:\n  max_retry: 1\n',
      'r.yaml:2:3: retry.max_retry: unknown key; did you mean max_retries?',
    ],
    [
      'a key at the wrong level',
      'max_retries: 1\n',
      'r.yaml:1:1: max_retries: unknown key; did you mean retry.max_retries?',
    ],
    [
      'a flag as a key',
      'prometheus_port: 1\n',
      'r.yaml:1:1: prometheus_port: unknown key; did you mean metrics.port?',
    ],
    [
      'a key of a part that does not exist',
      'trace_config: {}\n',
      'r.yaml:1:1: trace_config: not offered in this version',
    ],
    ['an unknown policy', 'policy: {type: smetric}\n', 'r.yaml:1:16: policy.type: expected one of random, '],
    ['an unknown policy by name', 'policy: cacheaware\n', 'r.yaml:1:9: policy.type: expected one of'],
    [
      'a parameter of another policy',
      'policy:\n  type: random\n  theta: 1\n',
      'r.yaml:3:10: policy.theta: the policy random has no such parameter (least_work has it)',
    ],
    [
      'an unknown mode',
      'mode: {type: opneai}\n',
      'r.yaml:1:14: mode.type: expected one of regular, prefill_decode, vllm_prefill_decode, pd_disaggregation, openai, got "opneai"',
    ],
    ['a number as text', 'port: "80"\n', 'r.yaml:1:7: port: expected an integer from 0 to 65535, got "80"'],
    ['a fraction', 'port: 80.5\n', 'r.yaml:1:7: port: expected an integer from 0 to 65535, got 80.5'],
    [
      'infinity',
      'request_timeout_secs: .inf\n',
      'r.yaml:1:23: request_timeout_secs: expected a number above 0 and at most 2147483, got Infinity',
    ],
    ['nothing', 'host: a\nport:\n', 'r.yaml:2:1: port: expected an integer from 0 to 65535, got nothing'],
    [
      'a section that is a number',
      'retry: 5\n',
      'r.yaml:1:8: retry: expected a mapping with the keys max_retries, ',
    ],
    [
      'yes for true',
      'disable_retries: yes\n',
      'r.yaml:1:18: disable_retries: expected true or false, got "yes"',
    ],
    [
      'a scalar for a list',
      'worker_urls: http://a\n',
      'r.yaml:1:14: worker_urls: expected a list of strings, got "http://a"',
    ],
    [
      'a bad URL',
      'worker_urls:\n  - http://a\n  - b:1\n',
      'r.yaml:3:5: worker_urls[1]: expected a URL with its scheme: ',
    ],
    ['a number as URL', 'worker_urls: [5]\n', 'r.yaml:1:15: worker_urls[0]: expected a string, got 5'],
    [
      'a secret of the wrong type',
      'api_key: 12345\n',
      'r.yaml:1:10: api_key: expected a string that is not empty (put it in quotes), got a number (not shown)',
    ],
    [
      'a secret that no header can carry',
      'api_key: "se\\ncret"\n',
      'r.yaml:1:10: api_key: expected a key of visible ASCII characters, got a string (not shown)',
    ],
    [
      'a key for no URL',
      'worker_api_keys: {a: k}\n',
      'r.yaml:1:22: worker_api_keys: expected the base URL of a worker',
    ],
    [
      'a key for a rank',
      'worker_api_keys: {"http://a@1": k}\n',
      'r.yaml:1:33: worker_api_keys: expected the base URL of a worker',
    ],
    [
      'a backoff that shrinks',
      'retry: {initial_backoff_ms: 50, max_backoff_ms: 10}\n',
      'r.yaml:1:49: retry.max_backoff_ms: expected at least retry.initial_backoff_ms (50), got 10',
    ],
    [
      'a longest silence below the shortest',
      'stall_check: {min_silence_secs: 20, max_silence_secs: 10}\n',
      'r.yaml:1:55: stall_check.max_silence_secs: expected at least stall_check.min_silence_secs (20), got 10',
    ],
    [
      'one port for both listeners',
      'port: 5\nmetrics: {port: 5}\n',
      'r.yaml:2:17: metrics.port: expected another port than',
    ],
    [
      'a worker twice',
      'worker_urls: [http://a, "http://A:80/"]\n',
      'r.yaml:1:25: worker_urls[1]: expected every worker once, got "http://A:80/" again (as "http://a")',
    ],
    [
      'ranks twice',
      'worker_urls: ["http://a@1"]\nintra_node_data_parallel_size: 2\n',
      'r.yaml:1:15: worker_urls[0]: expected a URL without @rank: ',
    ],
    [
      'workers in two places',
      'worker_urls: [http://a]\nmode: {type: regular, worker_urls: []}\n',
      'r.yaml:2:36: mode.worker_urls: worker_urls says the same',
    ],
    [
      'a hash key source',
      'hash_key: [x-session-id]\n',
      'r.yaml:1:12: hash_key[0]: expected header:<name> or body:<dotted path>, got "x-session-id"',
    ],
    [
      'an origin with a path',
      'cors_allowed_origins: [https://a.com/]\n',
      'r.yaml:1:24: cors_allowed_origins[0]: expected an origin',
    ],
    [
      'a header name',
      'request_id_headers: ["x y"]\n',
      'r.yaml:1:22: request_id_headers[0]: expected the name of a header, got "x y"',
    ],
    [
      'a path without slash',
      'health_check: {endpoint: health}\n',
      'r.yaml:1:26: health_check.endpoint: expected a path that begins with /',
    ],
  ] as const) {
    it(what, () => {
      const found = lines(resolveYaml(text));
      assert.equal(found.length, 1, found.join('\n'));
      assert.ok(found[0]?.startsWith(expected), `${String(found[0])}\n${expected}`);
    });
  }

  it('all of it at once, each on a line of its own', () => {
    const found = lines(resolveYaml('prot: 1\nport: a\n"a\\nb": 1\nretry:\n  max_retries: 0\n'));
    assert.deepEqual(found, [
      'r.yaml:1:1: prot: unknown key; did you mean port?',
      'r.yaml:3:1: a?b: unknown key',
      'r.yaml:2:7: port: expected an integer from 0 to 65535, got "a"',
      'r.yaml:5:16: retry.max_retries: expected an integer of at least 1, got 0',
    ]);
  });

  it('survives aliases that unfold without end', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
    for (let depth = 1; depth < 12; depth++) {
      const [name, before] = [depth, depth - 1].map((step) => String.fromCharCode(97 + step));
      bomb.push(
        `${String(name)}: &${String(name)} [${Array(10)
          .fill(`*${String(before)}`)
          .join(', ')}]`,
      );
    }
    const { problems } = readYaml(bomb.join('\n'), 'r.yaml');
    assert.match(problems.map(problemLine).join(), /^r\.yaml: not valid YAML: Excessive alias count/);
    assert.match(
      lines(resolveYaml('retry: &a [*a]\n')).join(),
      /^r\.yaml:1:11: retry: expected a mapping .*, got a list$/,
    );
  });

  it('is not fooled by the names of the prototype', () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.match(lines(resolveYaml(`${name}: {x: 1}\n`)).join(), /unknown key/);
      assert.match(lines(resolveYaml(`retry: {${name}: 1}\n`)).join(), /unknown key/);
    }
  });
});

describe('a file that is good', () => {
  it('may be empty, or comments alone', () => {
    assert.equal(good(resolveYaml('')).config.port, 30_000);
    assert.equal(good(resolveYaml('# nothing\n')).config.port, 30_000);
  });

  it('may be JSON', () => {
    assert.equal(good(resolveYaml('{"port": 5}')).config.port, 5);
  });

  it('may give sections in part, or leave them empty', () => {
    const { config } = good(resolveYaml('retry: {max_retries: 2}\ncircuit_breaker:\nlog_dir:\n'));
    assert.deepEqual(config.retry, {
      max_retries: 2,
      initial_backoff_ms: 50,
      max_backoff_ms: 30_000,
      backoff_multiplier: 1.5,
      jitter_factor: 0.2,
      budget_ratio: 0.2,
      budget_floor: 10,
    });
    assert.equal(config.circuit_breaker.failure_threshold, 10);
    assert.equal(config.log_dir, undefined);
  });

  it('names the policy with or without parameters', () => {
    assert.deepEqual(good(resolveYaml('policy: random\n')).config.policy, { type: 'random' });
    const { policy } = good(resolveYaml('policy: {cache_threshold: 0.4}\n')).config;
    assert.ok(policy && 'cache_threshold' in policy);
    assert.equal(policy.cache_threshold, 0.4);
  });

  it('may have worker_urls and load_check_interval_secs where older files have them', () => {
    const { settings, origins } = good(
      resolveYaml(
        'mode:\n  type: regular\n  worker_urls: [http://a]\npolicy:\n  type: power_of_two\n  load_check_interval_secs: 3\n',
      ),
    );
    assert.deepEqual(
      settings.workers.map(({ id }) => id),
      ['http://a'],
    );
    assert.equal(settings.loadCheckIntervalMs, 3000);
    assert.deepEqual(settings.policy, { type: 'power_of_two', loadCheckIntervalMs: 3000 });
    assert.deepEqual(origins.get('worker_urls'), { kind: 'file', file: 'r.yaml', line: 3, column: 16 });
  });

  it('may use anchors and aliases', () => {
    const { config } = good(resolveYaml('host: &h 10.0.0.1\nmetrics: {host: *h}\n'));
    assert.equal(config.metrics.host, '10.0.0.1');
    const found = lines(resolveYaml('worker_urls: &u [b:1]\nhash_key: *u\n'));
    assert.match(found[1] ?? '', /^r\.yaml:2:11: hash_key\[0\]/);
  });
});
