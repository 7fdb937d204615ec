import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configChanges, configInForce } from './changes.ts';
import { CONFIG_KEYS } from '../schema/keys.ts';
import { configFromOptions } from '../load/load.ts';
import type { RouterOptions } from '../load/options.ts';
import { RELOAD_EFFECTS } from './reload-effects.ts';
import type { Config } from '../schema/schema.ts';
import { good } from '../test-support.ts';

const configOf = (options: RouterOptions): Config =>
  good(configFromOptions({ workerUrls: ['http://w'], ...options })).config;

describe('what a reload does with a key', () => {
  it('is said of every key there is, and of no other', () => {
    const names = CONFIG_KEYS.map(({ name }) => name);
    assert.deepEqual(Object.keys(RELOAD_EFFECTS).sort(), names.toSorted());
  });
});

describe('configChanges', () => {
  it('finds nothing where nothing differs, however it was written', () => {
    assert.deepEqual(configChanges(configOf({}), configOf({ policy: 'least_work' })), []);
  });

  it('names the key, the values and what becomes of the state', () => {
    const changes = configChanges(
      configOf({}),
      configOf({ requestTimeoutSecs: 5, circuitBreaker: { failureThreshold: 2 }, port: 1 }),
    );
    assert.deepEqual(
      changes.map(({ key, effect }) => [key, effect]),
      [
        ['port', 'restart_needed'],
        ['request_timeout_secs', 'applied'],
        ['circuit_breaker.failure_threshold', 'adopted'],
      ],
    );
    assert.match(changes[1]?.detail ?? '', /^1800 -> 5; /);
    assert.match(changes[2]?.detail ?? '', /open ones stay open/);
  });

  it('never shows a secret, but says that it is another one', () => {
    const changes = configChanges(
      configOf({ adminApiKey: 'alpha-secret', workerApiKeys: { 'http://w': 'one-secret' } }),
      configOf({ adminApiKey: 'beta-secret', workerApiKeys: { 'http://w': 'two-secret' } }),
    );
    assert.deepEqual(
      changes.map(({ key }) => key),
      ['worker_api_keys', 'admin_api_key'],
    );
    assert.ok(!JSON.stringify(changes).includes('secret'), JSON.stringify(changes));
    assert.match(changes[1]?.detail ?? '', /^changed/);
  });
});

describe('configInForce', () => {
  it('keeps what cannot change while the router runs, and takes the rest', () => {
    const before = configOf({ port: 1, logDir: './a', metrics: { port: 2 } });
    const after = configOf({ port: 3, metrics: { port: 4 }, queueSize: 9, logLevel: 'debug' });
    const inForce = configInForce(before, after);
    assert.deepEqual(
      [inForce.port, inForce.log_dir, inForce.metrics.port, inForce.queue_size, inForce.log_level],
      [1, './a', 2, 9, 'debug'],
    );
    // What was read is not touched.
    assert.deepEqual([after.port, after.log_dir, after.metrics.port], [3, undefined, 4]);
  });

  it('unsets what was not set before', () => {
    const inForce = configInForce(configOf({}), configOf({ stateFile: 'x.json' }));
    assert.equal('state_file' in inForce, false);
  });
});
