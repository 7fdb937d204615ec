import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hashed } from '../schema/client-key.ts';
import { configFromOptions, loadConfig, type LoadInput, type LoadResult } from './load.ts';
import { printConfig } from '../show/print.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-references-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(yaml: string, env: Record<string, string> = {}, more: Partial<LoadInput> = {}): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), yaml);
  const argv = ['--config-file=r.yaml', '--worker-urls=http://a:1', ...(more.argv ?? [])];
  return loadConfig({ env, cwd: folder, ...more, argv });
}

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const adminKey = (text: string, env: Record<string, string> = {}): string | undefined =>
  good(load(`admin_api_key: ${JSON.stringify(text)}\n`, env)).config.admin_api_key;

describe('a reference that leads nowhere', () => {
  const cases: [text: string, message: string][] = [
    ['${NOBODY}', 'the variable NOBODY is not set'],
    ['${EMPTY}', 'the variable EMPTY is not set'],
    ['${__proto__}', 'the variable __proto__ is not set'],
    ['file:/no/such/file', 'the file /no/such/file cannot be read: there is no such file'],
    ['file:.', 'the file . cannot be read: it is a directory'],
    ['file:', 'expected the path of a file behind file:'],
    ['${', 'expected the name of a variable in ${}; write $${ for a plain ${'],
    ['${sk-hidden', 'expected the name of a variable in ${}; write $${ for a plain ${'],
    ['${sk-hidden}', 'expected the name of a variable in ${}; write $${ for a plain ${'],
  ];
  for (const [text, message] of cases) {
    it(`stops the start: ${text}`, () => {
      assert.deepEqual(lines(load(`admin_api_key: '${text}'\n`, { EMPTY: '' })), [
        `r.yaml:1:16: admin_api_key: ${message}`,
      ]);
    });
  }

  it('is a file without content, one that is no key at all, one that never ends', () => {
    write('empty', '\n\n');
    write('two-lines', 'sk-hidden\nsk-hidden\n');
    const found = (name: string): string[] => lines(load(`admin_api_key: file:${name}\n`));
    assert.deepEqual(found('empty'), ['r.yaml:1:16: admin_api_key: the file empty is empty']);
    assert.match(found('two-lines').join('\n'), /visible ASCII characters, got a string \(not shown\)$/);
    assert.deepEqual(found('/dev/zero'), [
      'r.yaml:1:16: admin_api_key: the file /dev/zero is larger than 65536 bytes',
    ]);
  });

  it('never shows what stands behind another one', () => {
    const env = { SECRET: 'sk-hidden with a space', DIR: 'sk-hidden' };
    for (const text of ['${SECRET}', 'x${SECRET}${NOBODY}', 'file:${DIR}/key', 'file:/${SECRET}'])
      assert.doesNotMatch(lines(load(`admin_api_key: '${text}'\n`, env)).join('\n'), /sk-hidden/);
  });

  it('has a place in nested lists and maps, beside everything else that is wrong', () => {
    const yaml = [
      'port: -1',
      'api_keys:',
      '  - {name: one, key: "${ONE}"}',
      '  - {name: two, keys: ["sk-a", "${TWO}"]}',
      'worker_api_keys:',
      '  http://a:1: ${THREE}',
      'pre_routing_hooks:',
      '  - {name: h, url: "http://u:${FOUR}@h", headers: {x-key: "Key ${FIVE}"}}',
    ].join('\n');
    assert.deepEqual(lines(load(yaml)).sort(), [
      'r.yaml:1:7: port: expected an integer from 0 to 65535, got -1',
      'r.yaml:3:22: api_keys[0].key: the variable ONE is not set',
      'r.yaml:4:32: api_keys[1].keys[1]: the variable TWO is not set',
      'r.yaml:6:15: worker_api_keys: the variable THREE is not set',
      'r.yaml:8:20: pre_routing_hooks[0].url: the variable FOUR is not set',
      'r.yaml:8:59: pre_routing_hooks[0].headers.x-key: the variable FIVE is not set',
    ]);
  });

  it('says that the file is what cannot be read, which is no fault of the configuration', () => {
    const loaded = load('admin_api_key: file:/no/such/file\n');
    assert.equal(loaded.kind === 'error' && loaded.problems[0]?.unreadable, true);
    const unset = load('admin_api_key: ${NOBODY}\n');
    assert.equal(unset.kind === 'error' && unset.problems[0]?.unreadable, undefined);
  });

  it('is a remark where the configuration is only looked at', () => {
    const yaml =
      'admin_api_key: ${NOBODY}\napi_keys:\n  - {name: a, key: file:no}\n  - {name: b, key: file:no}\n';
    const { notices } = good(load(yaml, {}, { lenient: true }));
    assert.deepEqual(notices, [
      'r.yaml:1:16: admin_api_key: the variable NOBODY is not set',
      'r.yaml:3:20: api_keys[0].key: the file no cannot be read: there is no such file',
      'r.yaml:4:20: api_keys[1].key: the file no cannot be read: there is no such file',
    ]);
  });
});

describe('a reference', () => {
  it('to variables may be the whole of a value or stand inside it', () => {
    const env = { KEY: 'sk-1', _b2: '2' };
    assert.equal(adminKey('${KEY}', env), 'sk-1');
    assert.equal(adminKey('a-${KEY}-${_b2}', env), 'a-sk-1-2');
  });

  it('is not looked for in what another one leads to', () => {
    assert.equal(adminKey('${KEY}', { KEY: '${OTHER}', OTHER: 'x' }), '${OTHER}');
    assert.equal(adminKey('${KEY}', { KEY: 'file:/etc/passwd' }), 'file:/etc/passwd');
    write('tricky', '${KEY}$$');
    assert.equal(adminKey('file:tricky', { KEY: 'x' }), '${KEY}$$');
  });

  it('is none behind a doubled dollar sign; a single one is itself', () => {
    assert.equal(adminKey('$${KEY}', { KEY: 'x' }), '${KEY}');
    assert.equal(adminKey('$$${KEY}', { KEY: 'x' }), '$x');
    assert.equal(adminKey('pa$word$'), 'pa$word$');
    assert.equal(adminKey('a$$b'), 'a$b');
  });

  it('to a file means what stands in it, without the newlines at its end', () => {
    for (const content of ['sk-1', 'sk-1\n', 'sk-1\r\n', 'sk-1\n\n']) {
      const path = write('key', content);
      assert.equal(adminKey(`file:${path}`), 'sk-1');
      assert.equal(adminKey('file:key'), 'sk-1');
      assert.equal(adminKey(`file://${path}`), 'sk-1');
    }
  });

  it('to a file may have variables in its path', () => {
    mkdirSync(join(folder, 'credentials'));
    write('credentials/admin', 'sk-1\n');
    assert.equal(
      adminKey('file:${CREDENTIALS_DIRECTORY}/admin', { CREDENTIALS_DIRECTORY: `${folder}/credentials` }),
      'sk-1',
    );
  });

  it('is followed in every kind of secret, however deep it stands', () => {
    const yaml = [
      'api_keys:',
      '  - {name: one, key: "${ONE}"}',
      '  - {name: two, keys: ["sk-a", "${TWO}"]}',
      'worker_api_keys: {"http://a:1": "${THREE}"}',
      'workers: [{url: "http://b:1", api_key: "${SIX}"}]',
      'pre_routing_hooks:',
      '  - {name: h, url: "http://u:${FOUR}@h", headers: {x-key: "Key ${FIVE}"}}',
    ].join('\n');
    const env = { ONE: 'sk-1', TWO: 'sk-2', THREE: 'sk-3', FOUR: 'sk-4', FIVE: 'sk-5', SIX: 'sk-6' };
    const { config, settings } = good(load(yaml, env));
    assert.equal(config.api_keys[0]?.key, hashed('sk-1'));
    assert.deepEqual(config.api_keys[1]?.keys, [hashed('sk-a'), hashed('sk-2')]);
    assert.deepEqual(
      settings.workers.map(({ apiKey }) => apiKey),
      ['sk-3', 'sk-6'],
    );
    assert.equal(config.pre_routing_hooks[0]?.url, 'http://u:sk-4@h');
    assert.deepEqual(config.pre_routing_hooks[0].headers, { 'x-key': 'Key sk-5' });
  });

  it('is followed in flags and variables too', () => {
    write('key', 'sk-1');
    const env = {
      KEY: 'sk-2',
      VLLM_ROUTER_WORKER_API_KEYS: 'http://a:1=${KEY}',
      VLLM_ROUTER_API_KEY: 'file:key',
    };
    const { config } = good(load('port: 1\n', env, { argv: ['--admin-api-key', '${KEY}'] }));
    assert.deepEqual(
      [config.admin_api_key, config.api_key, config.worker_api_keys],
      ['sk-2', 'sk-1', { 'http://a:1': 'sk-2' }],
    );
  });

  it('finds the variables of the env file, real ones first', () => {
    write('r.env', 'ONE=from-file\nTWO=from-file\n');
    const argv = ['--env-file=r.env'];
    const { config } = good(load('admin_api_key: ${ONE}-${TWO}\n', { TWO: 'real' }, { argv }));
    assert.equal(config.admin_api_key, 'from-file-real');
  });

  it('is not followed where a higher source has another value', () => {
    const { config } = good(load('admin_api_key: ${NOBODY}\n', {}, { argv: ['--admin-api-key=plain'] }));
    assert.equal(config.admin_api_key, 'plain');
  });

  it('is none in what is no secret', () => {
    const { config } = good(load('log_dir: ${KEY}\nrequest_id_headers: [x-$$]\n', { KEY: 'x' }));
    assert.deepEqual([config.log_dir, config.request_id_headers], ['${KEY}', ['x-$$']]);
  });

  it('is none in the programmatic API, whose caller has a language for that', () => {
    const { config } = good(
      configFromOptions({ workerUrls: [], adminApiKey: '${HOME}', apiKey: 'file:/etc/passwd' }),
    );
    assert.deepEqual([config.admin_api_key, config.api_key], ['${HOME}', 'file:/etc/passwd']);
  });

  it('is read again each time, and its files are named so that they can be watched', () => {
    const path = write('key', 'sk-1');
    const loaded = good(load(`admin_api_key: file:${path}\n`));
    write('key', 'sk-2');
    assert.equal(good(load(`admin_api_key: file:${path}\n`)).config.admin_api_key, 'sk-2');
    assert.deepEqual(loaded.files, [join(folder, 'r.yaml'), path]);
  });

  it('and what it leads to are not shown', () => {
    const { config, origins } = good(load('admin_api_key: ${KEY}\n', { KEY: 'sk-hidden' }));
    assert.match(printConfig(config, origins), /^admin_api_key: "\*\*\*" +# r\.yaml:1$/m);
  });
});

it('a file that may not be read is no secret', (t) => {
  chmodSync(write('closed', 'sk-1'), 0);
  // Root may read everything: it looks as somebody else for a moment.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    chmodSync(folder, 0o777);
    chmodSync(write('r.yaml', ''), 0o666);
    process.seteuid?.(65_534);
    t.after(() => process.seteuid?.(0));
  }
  assert.match(
    lines(load('admin_api_key: file:closed\n')).join('\n'),
    /closed cannot be read: permission denied$/,
  );
});
