import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { helpTopics } from './config/show/help-text.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-main-'));
after(() => {
  rmSync(folder, { recursive: true });
});
writeFileSync(join(folder, 'good.yaml'), 'port: 1\nworker_urls: [http://a]\n');
writeFileSync(join(folder, 'bad.yaml'), 'prot: 1\n');
// A key without its certificate, and a mapping that does not end.
writeFileSync(
  join(folder, 'broken.yaml'),
  'prot: 1\nqueue_size: many\nssl_keyfile: k.pem\nretry: {max_retries: many\nssl_certfile: c.pem\nprto: 2\n',
);
writeFileSync(
  join(folder, 'worst.yaml'),
  `prot: 1
policy: {theta: 1, type: random}
retry: {max_backoff_ms: 10, initial_backoff_ms: 20}
ssl_certfile: /nosuch/cert.pem
ssl_keyfile: /nosuch/key.pem
plugins: [./nosuch.mjs]
queue_size:   many
queue_size:   many
host: !x y
api_key: file:/nosuch/key
pre_routing_hooks:
  - {name: h, plugin: of_the_plugin}
  - {name: h, url: http://h}
`,
);

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(...argv: string[]): Promise<Run> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const env = { PATH: process.env['PATH'], VLLM_ROUTER_QUEUE_SIZE: '3', VLLM_ROUTER_API_KEY: 'sk-hidden' };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...argv], { cwd: folder, env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

describe('vllm-router', { concurrency: 2 }, () => {
  it('refuses an unknown command in one line', async () => {
    assert.deepEqual(await run('confg'), {
      code: 2,
      out: '',
      err: 'vllm-router: unknown command "confg"; did you mean config?\n',
    });
  });

  it('says what to do about a word that is like no command, and about a URL without its flag', async () => {
    const unlike = await run('frobnicate');
    assert.equal(unlike.err, 'vllm-router: unknown command "frobnicate"; vllm-router help shows them all\n');
    const { err } = await run('http://gpu1:8000');
    assert.equal(
      err,
      'vllm-router: unknown command "http://gpu1:8000"; did you mean --worker-urls http://gpu1:8000?\n',
    );
  });

  it('shows everything for `help --help`, too', async () => {
    const [asked, plain] = await Promise.all([run('help', '--help'), run('help')]);
    assert.equal(asked.code, 0);
    assert.equal(asked.out, plain.out);
  });

  it('shows its version', async () => {
    const { code, out } = await run('--version');
    assert.equal(code, 0);
    assert.match(out, /^vllm-router \d+\.\d+\.\d+\n$/);
  });

  it('shows its help, wherever the flag stands', async () => {
    const { code, out } = await run('--port', '1', '-h');
    assert.equal(code, 0);
    assert.match(out, /^Workers\n {2}--worker-urls URL\.\.\./m);
  });

  it('help and version are commands, too', async () => {
    assert.deepEqual(await run('version'), await run('-V'));
    assert.deepEqual(await run('help'), await run('--help'));
    const topic = await run('help', 'policies');
    assert.equal(topic.code, 0);
    assert.match(topic.out, /^Policy\n {2}--policy /);
    assert.deepEqual(await run('--help', 'policy'), topic);
    assert.deepEqual(await run('help', 'sim'), await run('sim', '--help'));
    assert.deepEqual(await run('help', 'polices'), {
      code: 2,
      out: '',
      err: `vllm-router: no help on "polices"; did you mean policies?\ntopics: ${helpTopics().join(', ')}\n`,
    });
  });

  it('config check finds a bad file with the place', async () => {
    const { code, out, err } = await run('config', 'check', 'bad.yaml');
    assert.deepEqual([code, out, err], [2, '', 'bad.yaml:1:1: prot: unknown key; did you mean port?\n']);
  });

  it('config check tells everything that is wrong with a file, in the order of its lines', async () => {
    const { code, err } = await run('config', 'check', 'worst.yaml');
    assert.equal(code, 2);
    assert.deepEqual(err.replaceAll('worst.yaml:', '').trimEnd().split('\n'), [
      '1:1: prot: unknown key; did you mean port?',
      '2:17: policy.theta: the policy random has no such parameter (least_work has it)',
      '3:25: retry.max_backoff_ms: expected at least retry.initial_backoff_ms (20), got 10',
      '4:15: ssl_certfile: /nosuch/cert.pem cannot be read: there is no such file',
      '5:14: ssl_keyfile: /nosuch/key.pem cannot be read: there is no such file',
      '6:11: plugins: ./nosuch.mjs cannot be found',
      '8:1: not valid YAML: queue_size stands here for the second time',
      '8:15: queue_size: expected an integer of at least 0, got "many"',
      '9:7: not valid YAML: Unresolved tag: !x',
      '10:10: api_key: the file /nosuch/key cannot be read: there is no such file',
      '13:12: pre_routing_hooks[1].name: expected every name once, got "h"',
    ]);
  });

  it('config check of a file that breaks off tells what stands before the break, and nothing made up', async () => {
    const { code, err } = await run('config', 'check', 'broken.yaml');
    assert.equal(code, 2);
    assert.deepEqual(err.replaceAll('broken.yaml:', '').trimEnd().split('\n'), [
      '1:1: prot: unknown key; did you mean port?',
      '2:13: queue_size: expected an integer of at least 0, got "many"',
      '5:1: not valid YAML: Flow map in block collection must be sufficiently indented and end with a }',
    ]);
  });

  it('config check passes a good file', async () => {
    assert.deepEqual(await run('config', 'check', 'good.yaml'), {
      code: 0,
      out: 'good.yaml: valid\n',
      err: '',
    });
    for (const spelling of [['-c', 'good.yaml'], ['--config=good.yaml'], ['--config-file', 'good.yaml']])
      assert.equal((await run('config', 'check', ...spelling)).out, 'good.yaml: valid\n');
    for (const wrong of [[], ['good.yaml', 'bad.yaml'], ['--port', '1'], ['-c']])
      assert.equal((await run('config', 'check', ...wrong)).code, 2);
  });

  it('config print shows origins and no secrets', async () => {
    const { code, out } = await run('config', 'print', '--config-file', 'good.yaml', '--host', 'h');
    assert.equal(code, 0);
    assert.match(out, /^port: 1 +# good\.yaml:1$/m);
    assert.match(out, /^host: "h" +# flag --host$/m);
    assert.match(out, /^queue_size: 3 +# env VLLM_ROUTER_QUEUE_SIZE$/m);
    assert.match(out, /^api_key: "\*\*\*" +# env VLLM_ROUTER_API_KEY$/m);
    assert.doesNotMatch(out, /sk-hidden/);
  });

  it('config schema is JSON', async () => {
    const { code, out } = await run('config', 'schema');
    assert.equal(code, 0);
    assert.equal(JSON.parse(out).title, 'vllm-router configuration');
  });

  it('config without a known action says what there is', async () => {
    assert.match((await run('config')).err, /config check FILE/);
    const { code, err } = await run('config', 'chek');
    assert.deepEqual([code, err], [2, 'vllm-router: unknown command: config chek; did you mean check?\n']);
  });
});
