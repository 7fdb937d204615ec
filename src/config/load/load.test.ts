import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { originText } from './layer.ts';
import { configFromOptions, loadConfig, type LoadResult } from './load.ts';
import { DEFAULT_TRAITS } from '../settings/settings.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-config-'));
after(() => {
  rmSync(folder, { recursive: true });
});

interface Sources {
  readonly flags?: string;
  readonly env?: Record<string, string>;
  readonly yaml?: string;
  readonly envFile?: string;
}

function load({ flags = '', env = {}, yaml, envFile }: Sources): LoadResult {
  const argv = flags.split(' ').filter((word) => word !== '');
  if (yaml !== undefined) {
    writeFileSync(join(folder, 'r.yaml'), yaml);
    argv.unshift('--config-file', 'r.yaml');
  }
  if (envFile !== undefined) {
    writeFileSync(join(folder, 'r.env'), envFile);
    argv.unshift('--env-file', 'r.env');
  }
  return loadConfig({ argv, env, cwd: folder });
}

const WORKER = '--worker-urls http://a:1';

describe('precedence', () => {
  it('is flags, environment, env file, file, default', () => {
    const all = {
      flags: `${WORKER} --port 1`,
      env: { VLLM_ROUTER_PORT: '2', VLLM_ROUTER_HOST: 'env' },
      envFile:
        'VLLM_ROUTER_PORT=3\nVLLM_ROUTER_HOST=env-file\nVLLM_ROUTER_LOG_DIR="a b" # comment\nOTHER=x\n',
      yaml: 'port: 4\nhost: file\nlog_dir: file\nqueue_size: 7\n',
    };
    const { config, origins } = good(load(all));
    assert.deepEqual([config.port, config.host, config.log_dir, config.queue_size], [1, 'env', 'a b', 7]);
    assert.deepEqual(
      ['port', 'host', 'log_dir', 'queue_size', 'queue_timeout_secs'].map((name) => {
        const origin = origins.get(name);
        return origin && originText(origin);
      }),
      ['flag --port', 'env VLLM_ROUTER_HOST', 'env VLLM_ROUTER_LOG_DIR (r.env)', 'r.yaml:4', 'default'],
    );
  });

  it('knows no lines of an env file that set nothing', () => {
    const wrong = load({ flags: WORKER, envFile: 'OTHER=x\nVLLM_ROUTER_INBOUND_API_KEY: k\n' });
    assert.match(lines(wrong).join('\n'), /^r\.env:2: expected NAME=value/);
    const marked = load({ flags: WORKER, envFile: '\u{feff}export VLLM_ROUTER_API_KEY="k"\r\n' });
    assert.equal(good(marked).config.api_key, 'k');
  });

  it('replaces lists and maps as a whole, and sections key by key', () => {
    const { config } = good(
      load({
        flags: '--worker-urls http://c --retry-max-retries 2',
        yaml: 'worker_urls: [http://a, http://b]\nretry: {max_retries: 9, initial_backoff_ms: 7}\n',
      }),
    );
    assert.deepEqual(config.worker_urls, ['http://c']);
    assert.deepEqual([config.retry.max_retries, config.retry.initial_backoff_ms], [2, 7]);
  });

  it('drops the parameters of a policy that a higher source replaces', () => {
    const yaml = 'policy: {type: cache_aware, cache_threshold: 0.9}\n';
    assert.deepEqual(good(load({ flags: `${WORKER} --policy random`, yaml })).config.policy, {
      type: 'random',
    });
    const kept = good(load({ flags: `${WORKER} --policy cache_aware --balance-abs-threshold 1`, yaml }))
      .settings.policy;
    assert.deepEqual(kept, {
      type: 'cache_aware',
      cacheKnowledge: 'auto',
      cacheThreshold: 0.9,
      balanceAbsThreshold: 1,
      balanceRelThreshold: 1.5,
    });
  });

  it('refuses parameters that the policy in effect does not have', () => {
    assert.deepEqual(lines(load({ flags: `${WORKER} --policy random --cache-threshold 0.5` })), [
      '--cache-threshold: the policy random has no such parameter (cache_aware has it)',
    ]);
    assert.deepEqual(lines(load({ flags: `${WORKER} --max-tree-size 5`, yaml: 'policy: round_robin\n' })), [
      '--max-tree-size: the policy round_robin has no such parameter (cache_aware and least_work and kv_aware have it)',
    ]);
  });

  it('takes parameters without a policy for those of the default one', () => {
    const { settings, notices } = good(
      load({ flags: `${WORKER} --theta 0.7 --eviction-interval 9 --max-tree-size 5` }),
    );
    assert.deepEqual(
      [settings.policy, notices],
      [{ type: 'least_work', cacheKnowledge: 'auto', theta: 0.7 }, []],
    );
    assert.deepEqual(
      [settings.cacheIndex.evictionIntervalMs, settings.cacheIndex.maxCharsPerWorker],
      [9000, 5],
    );
  });
});

describe('parameters without a policy', () => {
  it('name the one that has them where the default has not, with a notice', () => {
    const flags = `${WORKER} --cache-threshold 0.7 --max-tree-size 5`;
    const { settings, origins, notices } = good(load({ flags }));
    assert.equal(settings.policy.type === 'cache_aware' && settings.policy.cacheThreshold, 0.7);
    assert.deepEqual(origins.get('policy.type'), { kind: 'flag', flag: '--cache-threshold' });
    assert.deepEqual(notices, [
      'policy: cache_aware, since only that one has cache_threshold; name it to be clear',
    ]);
    const file = good(load({ flags: WORKER, yaml: 'policy: {virtual_nodes: 7}\n' }));
    assert.equal(file.settings.policy.type, 'consistent_hash');
  });

  it('are problems where several policies have them, or none has all', () => {
    assert.deepEqual(lines(load({ flags: `${WORKER} --load-bound 2` })), [
      '--load-bound: no policy is named, and the default, least_work, has no such parameter (consistent_hash and rendezvous_hash have it)',
    ]);
    const both = load({ flags: `${WORKER} --theta 1`, yaml: 'policy: {cache_threshold: 0.5}\n' });
    assert.deepEqual(lines(both), [
      'r.yaml:1:27: policy.cache_threshold: no policy is named, and the default, least_work, has no such parameter (cache_aware has it)',
    ]);
  });

  it('go with the policy that a higher source names, where it has them', () => {
    const yaml = 'policy: {cache_threshold: 0.9, max_tree_size: 5}\n';
    const warm = good(load({ flags: `${WORKER} --policy cache_aware`, yaml })).config.policy;
    assert.ok(warm && 'cache_threshold' in warm);
    assert.deepEqual([warm.type, warm.cache_threshold], ['cache_aware', 0.9]);
    const work = good(load({ flags: `${WORKER} --policy least_work`, yaml })).settings;
    assert.deepEqual([work.policy.type, work.cacheIndex.maxCharsPerWorker], ['least_work', 5]);
  });
});

describe('problems', () => {
  it('come from every source in one run', () => {
    const found = lines(
      load({
        flags: '--nonsense --port x',
        env: { VLLM_ROUTER_HOST: 'a b', VLLM_ROUTER_X: '1' },
        yaml: 'queue_size: -1\nzzz: 1\n',
      }),
    );
    assert.deepEqual(found.sort(), [
      '--nonsense: unknown flag',
      '--port: expected an integer from 0 to 65535, got "x"',
      'VLLM_ROUTER_HOST: expected a host name or an IP address, got "a b"',
      'VLLM_ROUTER_X: unknown setting',
      'r.yaml:1:13: queue_size: expected an integer of at least 0, got -1',
      'r.yaml:2:1: zzz: unknown key',
    ]);
  });

  it('are files that cannot be read', () => {
    assert.deepEqual(lines(load({ flags: '--config-file no.yaml --env-file .' })), [
      '.: cannot be read: it is a directory',
      'no.yaml: cannot be read: there is no such file',
    ]);
  });

  it('never quote a secret, not even one in the place of a name', () => {
    const env = {
      VLLM_ROUTER_WORKER_API_KEYS: 'sk-hidden',
      VLLM_ROUTER_API_KEY: 'sk-hidden with a space',
      VLLM_ROUTER_ADMIN_API_KEY: 'sk-hidden\u00e9',
    };
    const found = lines(load({ flags: WORKER, env }));
    assert.equal(found.length >= 3, true, found.join('\n'));
    assert.doesNotMatch(found.join('\n'), /sk-hidden/);
  });

  it('are workers that nobody named; an empty list is somebody naming none', () => {
    assert.deepEqual(lines(load({})), ['worker_urls: no workers: give --worker-urls http://host:port']);
    assert.deepEqual(good(load({ yaml: 'worker_urls: []\n' })).settings.workers, []);
    const looking = loadConfig({ argv: [], env: {}, cwd: folder, needsWorkers: false });
    assert.equal(looking.kind, 'ok');
  });
});

describe('notices', () => {
  it('tell what Kubernetes set', () => {
    const { notices, config } = good(load({ flags: WORKER, env: { VLLM_ROUTER_PORT: 'tcp://1.2.3.4:5' } }));
    assert.equal(config.port, 30_000);
    assert.deepEqual(notices, [
      'ignored VLLM_ROUTER_PORT: Kubernetes sets them for a Service called vllm-router',
    ]);
  });

  it('tell of a key without a worker', () => {
    const { notices } = good(load({ flags: WORKER, yaml: 'worker_api_keys: {"http://b:1": k}\n' }));
    assert.deepEqual(notices, ['worker_api_keys: no worker has the URL http://b:1']);
  });
});

describe('the settings', () => {
  it('give each worker its key and its ranks', () => {
    const { settings } = good(
      load({
        flags: '--worker-urls http://a:1/ unix:///s.sock --data-parallel-size 2 --api-key global',
        yaml: 'worker_api_keys: {"http://a:1/": own}\n',
      }),
    );
    const traits = DEFAULT_TRAITS;
    assert.deepEqual(settings.workers, [
      { baseUrl: 'http://a:1', rank: 0, id: 'http://a:1@0', apiKey: 'own', traits },
      { baseUrl: 'http://a:1', rank: 1, id: 'http://a:1@1', apiKey: 'own', traits },
      { baseUrl: 'unix:///s.sock', rank: 0, id: 'unix:///s.sock@0', apiKey: 'global', traits },
      { baseUrl: 'unix:///s.sock', rank: 1, id: 'unix:///s.sock@1', apiKey: 'global', traits },
    ]);
  });

  it('keep a rank that the URL names', () => {
    const { settings } = good(load({ flags: '--worker-urls http://a@3 http://a@4' }));
    assert.deepEqual(
      settings.workers.map(({ rank, id }) => [rank, id]),
      [
        [3, 'http://a@3'],
        [4, 'http://a@4'],
      ],
    );
  });

  it('turn switches into what they mean', () => {
    const { settings } = good(
      load({
        flags: `${WORKER} --disable-retries --disable-circuit-breaker --log-level critical`,
        yaml: 'request_id_headers: []\n',
      }),
    );
    assert.equal(settings.retry.maxAttempts, 1);
    assert.equal(settings.breaker.enabled, false);
    assert.equal(settings.log.level, 'error');
    assert.deepEqual(settings.requestIdHeaders, [
      'x-request-id',
      'x-correlation-id',
      'x-trace-id',
      'request-id',
    ]);
  });

  it('are in ms, and a short time never becomes 0, which means off', () => {
    const { settings } = good(
      load({ flags: `${WORKER} --first-token-timeout-secs 0.0001 --connect-timeout-secs 0.25` }),
    );
    assert.equal(settings.timeouts.firstTokenMs, 1);
    assert.equal(settings.timeouts.connectMs, 250);
  });

  it('have the defaults of the reference command lines', () => {
    const { settings } = good(load({ flags: WORKER }));
    const { retry, breaker, health, admission, timeouts, listen, metrics } = settings;
    assert.deepEqual([listen.host, listen.port, listen.maxPayloadSize], ['127.0.0.1', 30_000, 536_870_912]);
    assert.deepEqual(metrics, { enabled: true, host: '127.0.0.1', port: 29_000 });
    assert.deepEqual(
      [retry.maxAttempts, retry.initialBackoffMs, retry.maxBackoffMs, retry.multiplier, retry.jitter],
      [5, 50, 30_000, 1.5, 0.2],
    );
    assert.deepEqual(breaker, {
      enabled: true,
      failureThreshold: 10,
      successThreshold: 3,
      openMs: 60_000,
      windowMs: 120_000,
      halfOpenTrials: 1,
    });
    assert.deepEqual(health, {
      path: '/health',
      intervalMs: 60_000,
      timeoutMs: 5000,
      failureThreshold: 3,
      successThreshold: 2,
    });
    assert.deepEqual(admission, {
      maxConcurrent: 32_768,
      queueSize: 100,
      queueTimeoutMs: 60_000,
      ratePerSecond: undefined,
    });
    assert.deepEqual(timeouts, {
      connectMs: 10_000,
      firstTokenMs: 0,
      streamIdleMs: 300_000,
      requestMs: 1_800_000,
      tunnelIdleMs: 3_600_000,
    });
    assert.deepEqual(settings.policy, { type: 'least_work', cacheKnowledge: 'auto', theta: 0.3 });
    assert.deepEqual(
      [settings.workerStartupTimeoutMs, settings.workerStartupCheckIntervalMs, settings.slowStartMs],
      [600_000, 30_000, 30_000],
    );
  });
});

/** Every regular-mode command line that the documents of the reference router print. */
describe('the command lines of the seed', () => {
  for (const flags of [
    '--worker-urls http://0.0.0.0:8000 --policy consistent_hash --data-parallel-size 8',
    '--worker-urls http://worker1:8000 http://worker2:8000 --policy cache_aware',
    '--worker-urls http://localhost:8080 http://localhost:8081 --prometheus-host 0.0.0.0 --prometheus-port 9000',
    '--worker-urls http://localhost:8080 http://localhost:8081 --retry-max-retries 3 --retry-initial-backoff-ms 100 --retry-max-backoff-ms 10000 --retry-backoff-multiplier 2.0 --retry-jitter-factor 0.1',
    '--worker-urls http://localhost:8080 http://localhost:8081 --cb-failure-threshold 5 --cb-success-threshold 2 --cb-timeout-duration-secs 30 --cb-window-duration-secs 60',
    '--worker-urls http://localhost:8080 --request-id-headers x-trace-id x-request-id --log-level warning --max-concurrent-requests 512',
    '--worker-urls http://w --host 0.0.0.0 --port 0 --worker-startup-timeout-secs 1 --worker-startup-check-interval 1 --cache-threshold 1 --balance-abs-threshold 1 --balance-rel-threshold 1 --eviction-interval-secs 1 --max-tree-size 1 --max-payload-size 1 --intra-node-data-parallel-size 1 --api-key k --log-dir d',
    '--worker-urls http://w --request-timeout-secs 1 --queue-size 0 --queue-timeout-secs 1 --rate-limit-tokens-per-second 1 --cors-allowed-origins https://a.com http://b:1 --disable-retries --disable-circuit-breaker --admin-api-key k',
    '--worker-urls http://w --health-failure-threshold 1 --health-success-threshold 1 --health-check-timeout-secs 1 --health-check-interval-secs 1 --health-check-endpoint /h',
  ]) {
    it(flags, () => {
      good(load({ flags }));
    });
  }
});

describe('the programmatic API', () => {
  it('has the same settings in camel case', () => {
    const { settings, origins } = good(
      configFromOptions({
        workerUrls: ['http://a'],
        policy: { type: 'cache_aware', cacheThreshold: 0.1 },
        logDir: './logs',
        retry: { maxRetries: 2 },
        workerApiKeys: { 'http://a': 'under_score' },
        intraNodeDataParallelSize: 1,
      }),
    );
    assert.equal(settings.log.dir, './logs');
    assert.equal(settings.retry.maxAttempts, 2);
    assert.equal(settings.workers[0]?.apiKey, 'under_score');
    assert.equal(settings.policy.type === 'cache_aware' && settings.policy.cacheThreshold, 0.1);
    assert.deepEqual(origins.get('retry.max_retries'), { kind: 'option', option: 'retry.maxRetries' });
    assert.deepEqual(good(configFromOptions({ workerUrls: ['http://a'], policy: 'random' })).config.policy, {
      type: 'random',
    });
  });

  it('names options in its problems', () => {
    const wrong = {
      workerUrls: ['http://a', 'b'],
      worker_urls: [],
      retry: { maxRetry: 1 },
      port: 10n,
      queueSize: undefined,
    };
    // What a caller without types may pass.
    const found = lines(configFromOptions(wrong as unknown as Parameters<typeof configFromOptions>[0]));
    assert.deepEqual(found, [
      'worker_urls: unknown key; did you mean workerUrls?',
      'retry.maxRetry: unknown key; did you mean maxRetries?',
      'workerUrls[1]: expected a URL with its scheme: http://host:port, https://host:port or unix:///path.sock; did you mean http://b?, got "b"',
      'port: expected an integer from 0 to 65535, got a bigint',
    ]);
  });
});
