import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { META_FLAGS } from './flags.ts';
import { CONFIG_FILE_VARIABLE } from './env.ts';
import { CONFIG_KEYS, type ConfigKey } from './keys.ts';
import { loadConfig } from './load.ts';
import type { Settings } from './settings.ts';
import { good } from './test-support.ts';

/** A valid text for the key that is not its default. */
function otherValue(key: ConfigKey): string {
  if (key.kind === 'boolean') return String(key.default !== true);
  if (key.kind === 'choice') return key.choices.findLast((choice) => choice !== key.default) ?? '';
  if (key.kind === 'integer') return String(typeof key.default === 'number' ? key.default + 7 : 7);
  if (key.kind === 'number') {
    if (typeof key.default !== 'number') return '7';
    // Within 0 and 1, where some numbers have to be.
    return String(key.default > 0 && key.default < 1 ? key.default / 2 : key.default + 7);
  }
  const special: Record<string, string> = {
    worker_urls: 'http://other',
    worker_api_keys: 'http://w=other',
    cors_allowed_origins: 'https://other',
    hash_key: 'header:other',
    'health_check.endpoint': '/other',
  };
  return special[key.name] ?? 'other';
}

function settingsWith(argv: readonly string[], env: Record<string, string>): Settings {
  const workers = argv.some((word) => word.startsWith('--worker-urls')) || 'VLLM_ROUTER_WORKER_URLS' in env;
  return good(loadConfig({ argv: workers ? argv : [...argv, '--worker-urls=http://w'], env, cwd: '/' }))
    .settings;
}

describe('every key', () => {
  for (const key of CONFIG_KEYS) {
    const policies = key.policies ?? [undefined];
    const value = otherValue(key);
    for (const flag of key.flags) {
      it(`has an effect: ${flag}`, () => {
        for (const policy of policies) {
          const base = policy === undefined ? [] : [`--policy=${policy}`];
          const changed = settingsWith([...base, `${flag}=${value}`], {});
          assert.notDeepEqual(changed, settingsWith(base, {}));
        }
      });
    }
    const { env } = key;
    if (env === undefined) continue;
    it(`has an effect: ${env}`, () => {
      for (const policy of policies) {
        const base: Record<string, string> = policy === undefined ? {} : { VLLM_ROUTER_POLICY: policy };
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
