import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { madeByKubernetes, readEnv } from './env.ts';
import { CONFIG_KEYS } from '../schema/keys.ts';
import { originText, problemLine } from './layer.ts';

const read = (env: Record<string, string>, file?: Record<string, string>) =>
  readEnv(env, file && { path: '.env', variables: file });

const valuesOf = (reading: ReturnType<typeof readEnv>) =>
  Object.fromEntries([...reading.layer].map(([name, entry]) => [name, entry.value]));

describe('environment', () => {
  it('ignores what Kubernetes sets for a Service called vllm-router, and says so', () => {
    const reading = read({
      VLLM_ROUTER_PORT: 'tcp://10.0.0.7:30000',
      VLLM_ROUTER_PORT_30000_TCP: 'tcp://10.0.0.7:30000',
      VLLM_ROUTER_PORT_30000_TCP_ADDR: '10.0.0.7',
      VLLM_ROUTER_PORT_30000_TCP_PORT: '30000',
      VLLM_ROUTER_PORT_30000_TCP_PROTO: 'tcp',
      VLLM_ROUTER_SERVICE_HOST: '10.0.0.7',
      VLLM_ROUTER_SERVICE_PORT: '30000',
      VLLM_ROUTER_SERVICE_PORT_HTTP: '30000',
      // Of a Service called vllm-router-metrics: the name is that of a setting.
      VLLM_ROUTER_METRICS_PORT: 'tcp://10.0.0.8:29000',
      VLLM_ROUTER_METRICS_SERVICE_HOST: '10.0.0.8',
    });
    assert.deepEqual(reading.problems, []);
    assert.equal(reading.layer.size, 0);
    assert.equal(reading.ignored.length, 10);
  });

  it('takes none of the settings for something that Kubernetes made', () => {
    for (const { env } of CONFIG_KEYS) if (env !== undefined) assert.ok(!madeByKubernetes(env, '1'), env);
  });

  it('reads the port all the same when it is one', () => {
    assert.deepEqual(valuesOf(read({ VLLM_ROUTER_PORT: '8080' })), { port: 8080 });
  });

  it('refuses a variable of its own that it does not know', () => {
    const { problems } = read({ VLLM_ROUTER_WORKER_URL: 'http://a', VLLM_ROUTER_CONFIG: 'r.yaml' });
    assert.deepEqual(problems.map(problemLine), [
      'VLLM_ROUTER_WORKER_URL: unknown setting; did you mean VLLM_ROUTER_WORKER_URLS?',
      'VLLM_ROUTER_CONFIG: unknown setting; did you mean VLLM_ROUTER_CONFIG_FILE?',
    ]);
  });

  it('has nothing to do with the variables of others', () => {
    const reading = read({ PORT: '1', VLLM_PORT: '2', PATH: '/bin' });
    assert.deepEqual([reading.layer.size, reading.problems.length, reading.ignored.length], [0, 0, 0]);
  });

  it('reads every kind of value', () => {
    const reading = read({
      VLLM_ROUTER_WORKER_URLS: 'http://a, http://b  http://c',
      VLLM_ROUTER_RETRY_MAX_RETRIES: '3',
      VLLM_ROUTER_RETRY_JITTER_FACTOR: '0.5',
      VLLM_ROUTER_DISABLE_RETRIES: '1',
      VLLM_ROUTER_ACCESS_LOG: 'false',
      VLLM_ROUTER_POLICY: 'random',
      // Keys in base64 end with =.
      VLLM_ROUTER_WORKER_API_KEYS: 'http://a=k==,http://b=l',
    });
    assert.deepEqual(reading.problems, []);
    assert.deepEqual(valuesOf(reading), {
      worker_urls: ['http://a', 'http://b', 'http://c'],
      'retry.max_retries': 3,
      'retry.jitter_factor': 0.5,
      disable_retries: true,
      access_log: false,
      'policy.type': 'random',
      worker_api_keys: { 'http://a': 'k==', 'http://b': 'l' },
    });
  });

  it('takes an empty variable for one that is not set, also over the env file', () => {
    const reading = read({ VLLM_ROUTER_API_KEY: '', VLLM_ROUTER_HOST: '' }, { VLLM_ROUTER_HOST: 'h' });
    assert.deepEqual(valuesOf(reading), { host: 'h' });
  });

  it('lets real variables go before those of the env file, and knows which is which', () => {
    const reading = read({ VLLM_ROUTER_HOST: 'real' }, { VLLM_ROUTER_HOST: 'file', VLLM_ROUTER_PORT: '1' });
    assert.deepEqual(valuesOf(reading), { host: 'real', port: 1 });
    const origins = [...reading.layer.values()].map((entry) => originText(entry.origin()));
    assert.deepEqual(origins.sort(), ['env VLLM_ROUTER_HOST', 'env VLLM_ROUTER_PORT (.env)']);
  });
});
