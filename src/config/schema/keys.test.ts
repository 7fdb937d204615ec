import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { selfSigned } from '../../../test/support/self-signed.ts';
import { META_FLAGS } from '../load/flags.ts';
import { CONFIG_FILE_VARIABLE } from '../load/env.ts';
import { CONFIG_KEYS, keyNamed, type ConfigKey } from './keys.ts';
import { loadConfig } from '../load/load.ts';
import type { Settings } from '../settings/settings.ts';
import { good } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-keys-'));
after(() => {
  rmSync(folder, { recursive: true });
});

/** The same certificate and key twice, in files that differ. */
const pair = selfSigned();
const [one, other] = ['one', 'other'].map((name) => {
  const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  writeFileSync(files.cert, `${name}\n${pair.cert}`);
  writeFileSync(files.key, `${name}\n${pair.key}`);
  return files;
}) as [TlsFiles, TlsFiles];

interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** A valid text for the key that is not its default. */
function otherValue(key: ConfigKey): string {
  if (key.kind === 'boolean') return String(key.default !== true);
  if (key.kind === 'choice') return key.choices.findLast((choice) => choice !== key.default) ?? '';
  if (key.kind === 'integer') return String(typeof key.default === 'number' ? key.default + 7 : 7);
  if (key.kind === 'number') {
    if (typeof key.default !== 'number') return '7';
    // Within 0 and 1, where some numbers have to be.
    const more = Math.min(key.default + 7, key.node.maximum ?? Infinity);
    return String(key.default > 0 && key.default < 1 ? key.default / 2 : more);
  }
  const special: Record<string, string> = {
    worker_urls: 'http://other',
    worker_api_keys: 'http://w=other',
    tokenizer_path: '/other',
    model_path: '/other',
    tokenizer_model_map: 'part=/other',
    cors_allowed_origins: 'https://other',
    api_key_validation_urls: 'https://other',
    hash_key: 'header:other',
    'health_check.endpoint': '/other',
    'lmcache.controller_url': 'http://other:9000',
    'semantic_cache.embeddings_url': 'http://other:9100',
    'kv_events.endpoint': 'tcp://{host}:6000',
    'kv_events.endpoints': 'http://w=tcp://w:6000',
    'kv_events.bind': 'tcp://*:6000',
    prefill_urls: 'http://p',
    decode_urls: 'http://d',
    prefill_policy: 'random',
    decode_policy: 'random',
    'pd.discovery_address': '0.0.0.0:30001',
    'pd.discovery_allow': '10.0.0.0/8',
    'pd.lmcache_notices': '0.0.0.0:8500',
    ssl_certfile: other.cert,
    ssl_keyfile: other.key,
    ssl_ca_certs: other.cert,
    'worker_tls.ca_file': other.cert,
    'worker_tls.cert_file': other.cert,
    'worker_tls.key_file': other.key,
  };
  return special[key.name] ?? 'other';
}

/** What a key means something beside, by the names of other keys. */
function besides({ name, policies }: ConfigKey): Record<string, string>[] {
  const tls = { ssl_certfile: one.cert, ssl_keyfile: one.key };
  const others: Record<string, Record<string, string>> = {
    insecure: { host: '0.0.0.0' },
    api_key_validation_ttl_secs: { api_key_validation_urls: 'https://one' },
    api_key_validation_timeout_secs: { api_key_validation_urls: 'https://one' },
    prefill_data_parallel_size: { prefill_urls: 'http://p' },
    decode_data_parallel_size: { decode_urls: 'http://d' },
    'pd.discovery_allow': { 'pd.discovery_address': '0.0.0.0:30001' },
    ssl_certfile: tls,
    ssl_keyfile: tls,
    ssl_ca_certs: { ...tls, ssl_ca_certs: one.cert, ssl_cert_reqs: 'required' },
    ssl_cert_reqs: { ...tls, ssl_ca_certs: one.cert, ssl_cert_reqs: 'optional' },
    ssl_min_version: tls,
    'worker_tls.cert_file': { 'worker_tls.cert_file': one.cert, 'worker_tls.key_file': one.key },
    'worker_tls.key_file': { 'worker_tls.cert_file': one.cert, 'worker_tls.key_file': one.key },
  };
  if (name.startsWith('semantic_cache.') && name !== 'semantic_cache.embeddings_url')
    others[name] = { 'semantic_cache.embeddings_url': 'http://one' };
  const isLogDetail = name.startsWith('decision_log.') && name !== 'decision_log.export_path';
  return (policies ?? [undefined]).map((policy) => ({
    ...others[name],
    ...(isLogDetail ? { 'decision_log.export_path': '/tmp/decisions.jsonl' } : {}),
    ...(name.startsWith('cache.') ? { 'cache.backend': 'memory' } : {}),
    ...(policy === undefined ? {} : { 'policy.type': policy }),
  }));
}

function settingsWith(
  argv: readonly string[],
  env: Record<string, string>,
): { settings: Settings; notices: readonly string[] } {
  const workers = argv.some((word) => word.startsWith('--worker-urls')) || 'VLLM_ROUTER_WORKER_URLS' in env;
  const all = workers ? argv : [...argv, '--worker-urls=http://w'];
  const { settings, notices } = good(loadConfig({ argv: all, env, cwd: '/' }));
  return { settings, notices };
}

function flagsFor(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `${keyNamed(name)?.flags[0]}=${value}`);
}

function variablesFor(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [keyNamed(name)?.env, value]));
}

describe('every key', () => {
  for (const key of CONFIG_KEYS) {
    const value = otherValue(key);
    for (const flag of key.flags) {
      it(`has an effect: ${flag}`, () => {
        for (const beside of besides(key)) {
          const { [key.name]: replaced, ...rest } = beside;
          const changed = settingsWith([...flagsFor(rest), `${flag}=${value}`], {});
          assert.notEqual(replaced, value);
          assert.notDeepEqual(changed, settingsWith(flagsFor(beside), {}));
        }
      });
    }
    const { env } = key;
    if (env === undefined) continue;
    it(`has an effect: ${env}`, () => {
      for (const beside of besides(key)) {
        const base = variablesFor(beside);
        assert.notDeepEqual(settingsWith([], { ...base, [env]: value }), settingsWith([], base));
      }
    });
  }

  it('has spellings of its own', () => {
    const flags = [
      ...CONFIG_KEYS.flatMap((key) => [
        ...key.flags,
        ...(key.kind === 'boolean' ? key.flags.map((flag) => flag.replace('--', '--no-')) : []),
      ]),
      ...META_FLAGS.flatMap((meta) => meta.flags),
    ];
    assert.equal(new Set(flags).size, flags.length);
    const variables = [CONFIG_FILE_VARIABLE, ...CONFIG_KEYS.flatMap(({ env }) => env ?? [])];
    assert.equal(new Set(variables).size, variables.length);
    assert.equal(new Set(CONFIG_KEYS.map(({ name }) => name)).size, CONFIG_KEYS.length);
  });

  it('has a sentence and a default that can be shown', () => {
    for (const key of CONFIG_KEYS) {
      assert.match(key.about, /^\S.*\.$/, key.name);
      assert.ok(typeof key.defaultText === 'string' && key.defaultText !== '', key.name);
    }
  });
});
