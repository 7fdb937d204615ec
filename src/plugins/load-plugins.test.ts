import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { problemLine } from '../config/load/layer.ts';
import { printConfig } from '../config/show/print.ts';
import { describeModules, loadConfigWithPlugins, rereadConfig } from './load-plugins.ts';

const root = mkdtempSync(join(tmpdir(), 'vllm-router-plugins-'));
after(() => {
  rmSync(root, { recursive: true, force: true });
});

let folders = 0;

/** A folder with these files, its `router.yaml` among them. */
function folder(files: Readonly<Record<string, string>>): string {
  const dir = join(root, String(folders++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

function load(cwd: string, argv: readonly string[] = ['--config-file=router.yaml']) {
  return loadConfigWithPlugins({ argv, env: {}, cwd, needsWorkers: false });
}

/** What is wrong, a line each. */
async function wrong(files: Readonly<Record<string, string>>, argv?: readonly string[]): Promise<string[]> {
  const loaded = await load(folder(files), argv);
  return loaded.kind === 'error' ? loaded.problems.map(problemLine) : [];
}

async function good(cwd: string, argv?: readonly string[]) {
  const loaded = await load(cwd, argv);
  if (loaded.kind !== 'ok')
    throw new Error(loaded.kind === 'error' ? loaded.problems.map(problemLine).join('\n') : loaded.kind);
  return loaded;
}

const policy = (name: string, more = ''): string =>
  `export default { apiVersion: 1, policies: { ${name}: { ${more} create: () => ({ choose() {} }) } } };`;
const hook = (name: string): string =>
  `export default { apiVersion: 1, hooks: { ${name}: { create: () => ({ run() {} }) } } };`;

describe('a module with plugins', () => {
  it('is found from the place of the file, whatever the working directory', async () => {
    const dir = folder({
      'etc/router.yaml': 'plugins: [./mine.mjs, ../up.mjs]\npolicy: mine\n',
      'etc/mine.mjs': policy('mine'),
      'up.mjs': policy('other'),
    });
    const { settings, plugins } = await good(dir, ['--config-file=etc/router.yaml']);
    assert.equal(settings.policy.type === 'plugin' && settings.policy.name, 'mine');
    assert.deepEqual(describeModules(plugins ?? { set: neverSet(), modules: [] }), [
      './mine.mjs: policy mine',
      '../up.mjs: policy other',
    ]);
  });

  it('is found from the working directory where a flag names it, also by an absolute path', async () => {
    const dir = folder({ 'mine.mjs': policy('mine'), 'other.mjs': policy('other') });
    const flags = ['--plugins', './mine.mjs', join(dir, 'other.mjs'), '--policy', 'other'];
    const { settings } = await good(dir, flags);
    assert.equal(settings.policy.type === 'plugin' && settings.policy.name, 'other');
    assert.deepEqual(settings.plugins, ['./mine.mjs', join(dir, 'other.mjs')]);
  });

  it('may be TypeScript and import types and values of this package, wherever it stands', async () => {
    const source = `
      import { definePlugin, definePolicy, EXCLUDED, type Choice } from 'vllm-router';
      interface Parameters { readonly first: number }
      export default definePlugin({ apiVersion: 1, policies: { typed: definePolicy({
        parameters: (raw): Parameters => ({ first: Number(raw['first']) }),
        create: ({ first }) => ({ choose: (): Choice => ({ kind: 'chosen', index: first + EXCLUDED.no, reason: 'x' }) }),
      }) } });`;
    const dir = folder({
      'router.yaml': 'plugins: [./p.ts]\npolicy: {type: typed, first: 3}\n',
      'p.ts': source,
    });
    const { settings } = await good(dir);
    assert.deepEqual(settings.policy.type === 'plugin' && settings.policy.parameters, { first: 3 });
  });

  it('may be a package, as ES module or CommonJS', async () => {
    const dir = folder({
      'router.yaml': 'plugins: [esm-plugin, "@me/cjs-plugin"]\npolicy: cjs\n',
      'node_modules/esm-plugin/package.json': '{"name":"esm-plugin","exports":{"import":"./in.mjs"}}',
      'node_modules/esm-plugin/in.mjs': policy('esm'),
      'node_modules/@me/cjs-plugin/package.json': '{"name":"@me/cjs-plugin","main":"index.js"}',
      'node_modules/@me/cjs-plugin/index.js': `Object.defineProperty(exports, '__esModule', { value: true });\n${policy('cjs').replace('export default', 'exports.default =')}`,
    });
    const { plugins } = await good(dir);
    assert.deepEqual(plugins?.set.policyNames, ['esm', 'cjs']);
  });

  it('may bring policies and hooks', async () => {
    const dir = folder({
      'router.yaml': `plugins: [./both.mjs]\npre_routing_hooks: [{name: checks, plugin: look, parameters: {a: 1}}]\n`,
      'both.mjs': `export default { apiVersion: 1, policies: { pick: { create: () => ({ choose() {} }) } },
        hooks: { look: { parameters: (raw) => ({ seen: raw }), create: () => ({ run() {} }) } } };`,
    });
    const { plugins, settings } = await good(dir);
    assert.deepEqual(describeModules(plugins ?? { set: neverSet(), modules: [] }), [
      './both.mjs: policy pick, hook look',
    ]);
    const [entry] = settings.hooks;
    assert.deepEqual(entry?.source.kind === 'plugin' && entry.source.parameters, { seen: { a: 1 } });
  });
});

function neverSet(): never {
  throw new Error('no plugins were loaded');
}

describe('a module that is no good stops the start with one line', () => {
  const yaml = 'plugins: [./p.mjs]\n';
  const cases: readonly (readonly [string, Record<string, string>, RegExp])[] = [
    ['there is none', {}, /^router\.yaml:1:11: plugins: \.\/p\.mjs cannot be found$/],
    [
      'a package that is not installed',
      { 'router.yaml': 'plugins: [p.mjs]\n' },
      /p\.mjs cannot be found \(a path begins with/,
    ],
    [
      'not JavaScript',
      { 'p.mjs': 'export default {\nfoo bar' },
      /\.\/p\.mjs is not valid: Unexpected identifier 'bar' \(node --check shows the place\)$/,
    ],
    [
      'an ES module in a package of CommonJS modules',
      {
        'router.yaml': 'plugins: [./p.ts]\n',
        'package.json': '{"type": "commonjs"}',
        'p.ts': 'import "node:fs";\nexport default {};',
      },
      /\.\/p\.ts is not valid: .* \(the ending \.mjs or \.mts, or "type": "module" in the nearest package\.json, makes/,
    ],
    [
      'TypeScript that has to be compiled',
      { 'router.yaml': 'plugins: [./p.ts]\n', 'p.ts': 'enum A { B }\nexport default A;' },
      /\.\/p\.ts is not valid|\.\/p\.ts cannot be loaded: TypeScript enum/,
    ],
    [
      'it throws',
      { 'p.mjs': 'throw new Error("not today\\nat all");' },
      /\.\/p\.mjs cannot be loaded: not today$/,
    ],
    [
      'an import of its own is missing',
      { 'p.mjs': 'import "./gone.mjs";' },
      /\.\/p\.mjs cannot be loaded: Cannot find module .*gone\.mjs/,
    ],
    [
      'no default export',
      { 'p.mjs': 'export const x = 1;' },
      /\.\/p\.mjs exports no plugin as default, but nothing$/,
    ],
    ['a function', { 'p.mjs': 'export default () => 1;' }, /exports no plugin as default, but a function$/],
    [
      'no version',
      { 'p.mjs': policy('a').replace('apiVersion: 1,', '') },
      /apiVersion is missing\); this router has version 1$/,
    ],
    [
      'another version',
      { 'p.mjs': policy('a').replace('apiVersion: 1', 'apiVersion: 2') },
      /plugin API version 2; this router has version 1$/,
    ],
    [
      'nothing in it',
      { 'p.mjs': 'export default { apiVersion: 1 };' },
      /exports neither policies nor hooks$/,
    ],
    [
      'a member too many',
      { 'p.mjs': 'export default { apiVersion: 1, policy: {} };' },
      /exports policy, which no plugin has$/,
    ],
    [
      'a policy that cannot be made',
      { 'p.mjs': 'export default { apiVersion: 1, policies: { a: {} } };' },
      /has the policy "a" without a create function$/,
    ],
    ['a name nobody can write', { 'p.mjs': policy('"A b"') }, /has the policy "A b": expected a name of a-z/],
    [
      'the name of a built-in policy',
      { 'p.mjs': policy('random') },
      /has the policy "random", which is the name of a built-in one$/,
    ],
    [
      'a name that another has',
      { 'router.yaml': 'plugins: [./p.mjs, ./q.mjs]\n', 'p.mjs': policy('a'), 'q.mjs': policy('a') },
      /^router\.yaml:1:20: plugins: \.\/q\.mjs has the policy "a", which \.\/p\.mjs has already$/,
    ],
    [
      'a hook name that another has',
      { 'router.yaml': 'plugins: [./p.mjs, ./q.mjs]\n', 'p.mjs': hook('a'), 'q.mjs': hook('a') },
      /has the hook "a", which/,
    ],
  ];
  for (const [what, files, expected] of cases) {
    it(what, async () => {
      const lines = await wrong({ 'router.yaml': yaml, ...files });
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', expected);
    });
  }

  it('every one of them is told', async () => {
    const lines = await wrong({ 'router.yaml': 'plugins: [./a.mjs, ./b.mjs]\n' });
    assert.equal(lines.length, 2);
  });
});

describe("a plugin's policy in the configuration", () => {
  const files = (yaml: string): Record<string, string> => ({
    'router.yaml': `plugins: [./p.mjs]\n${yaml}`,
    'p.mjs': policy(
      'mine',
      `parameters(raw) {
         if (raw.window === undefined) return { window: 1 };
         if (typeof raw.window !== 'number') throw Object.assign(new Error('expected a number'), { path: 'window' });
         return raw;
       },`,
    ),
    'q.mjs': policy('bare'),
  });

  it('has its own parameters and those of every plugin', async () => {
    const dir = folder(
      files(
        'policy:\n  type: mine\n  window: 7\n  theta: 2\n  load_check_interval_secs: 9\n  timeout_ms: 5\n  overrun_ms: 0.5\n  fallback: {type: least_work, theta: 1}\n',
      ),
    );
    const { settings, config, origins } = await good(dir);
    assert.ok(settings.policy.type === 'plugin');
    const { plugin: _plugin, ...rest } = settings.policy;
    assert.deepEqual(rest, {
      ...{ type: 'plugin', name: 'mine', parameters: { window: 7, theta: 2, load_check_interval_secs: 9 } },
      ...{ fallback: { type: 'least_work', cacheKnowledge: 'auto', theta: 1 }, timeoutMs: 5, overrunMs: 0.5 },
      cacheKnowledge: 'auto',
    });
    const printed = printConfig(config, origins);
    assert.match(printed, /^ {2}window: 7 +# router\.yaml:4$/m);
    assert.match(printed, /^ {2}theta: 2 +# router\.yaml:5$/m);
    assert.match(printed, /^ {2}timeout_ms: 5 +# router\.yaml:7$/m);
  });

  it('falls back to the default policy unless another is named', async () => {
    const { settings } = await good(folder(files('policy: mine\n')));
    assert.equal(settings.policy.type === 'plugin' && settings.policy.fallback.type, 'least_work');
  });

  it('may be one model’s own', async () => {
    const yaml = 'policy: random\nmodel_policies: {"big-*": {type: mine, window: 2}, small: mine}\n';
    const { settings } = await good(folder(files(yaml)));
    assert.deepEqual(
      settings.modelPolicies.map(({ model, policy: own }) => [
        model,
        own.type === 'plugin' && own.parameters,
      ]),
      [
        ['big-*', { window: 2 }],
        ['small', { window: 1 }],
      ],
    );
  });

  it('gives way to the policy of a higher source, parameters and all', async () => {
    const dir = folder(files('policy: {type: mine, window: 7}\n'));
    const { settings } = await good(dir, ['--config-file=router.yaml', '--policy=random']);
    assert.deepEqual(settings.policy, { type: 'random' });
  });

  it('is told what is wrong with it, and where', async () => {
    const cases: readonly (readonly [string, string])[] = [
      ['policy: {type: mine, window: soon}\n', 'router.yaml:2:30: policy.window: expected a number'],
      [
        'policy: {type: mine, fallback: mine}\n',
        'router.yaml:2:32: policy.fallback: expected one of random, round_robin, power_of_two, consistent_hash, rendezvous_hash, cache_aware, least_work, kv_aware, lmcache_aware, got "mine"',
      ],
      [
        'policy: {type: mine, timeout_ms: soon}\n',
        'router.yaml:2:34: policy.timeout_ms: expected an integer',
      ],
      [
        'policy: {type: random, timeout_ms: 5}\n',
        "router.yaml:2:36: policy.timeout_ms: the policy random has no such parameter (a plugin's has it)",
      ],
      [
        'policy: mien\n',
        'router.yaml:2:9: policy.type: expected one of random, round_robin, power_of_two, consistent_hash, rendezvous_hash, cache_aware, least_work, kv_aware, lmcache_aware, mine, got "mien"; did you mean mine?',
      ],
      [
        'model_policies: {m: {type: mine, window: x}}\n',
        'router.yaml:2:42: model_policies.m.window: expected a number',
      ],
      [
        'pre_routing_hooks: [{name: h, plugin: look}]\n',
        'router.yaml:2:39: pre_routing_hooks[0].plugin: expected a hook of a plugin, and no plugin has any, got "look"',
      ],
      [
        'pre_routing_hooks: [{name: h}]\n',
        'router.yaml:2:21: pre_routing_hooks[0]: expected either url or plugin',
      ],
    ];
    for (const [yaml, expected] of cases) {
      const [line = '', ...more] = await wrong(files(yaml));
      assert.ok(line.startsWith(expected), `${line}\n${expected}`);
      assert.deepEqual(more, []);
    }
  });

  it('may not have parameters where the plugin reads none', async () => {
    const yaml = 'policy: {type: bare, window: 3}\n';
    const lines = await wrong({ ...files(yaml), 'router.yaml': `plugins: [./q.mjs]\n${yaml}` });
    assert.deepEqual(lines, ['router.yaml:2:30: policy.window: unknown key: it has no parameters']);
  });

  it('is made once to see that it can be', async () => {
    const broken = policy('mine').replace('({ choose() {} })', '{ throw new Error("no GPU here"); }');
    const lines = await wrong({ ...files('policy: mine\n'), 'p.mjs': broken });
    assert.deepEqual(lines, ['router.yaml:2:9: policy.type: create threw: no GPU here']);
    const empty = policy('mine').replace('({ choose() {} })', '({})');
    const [line] = await wrong({ ...files('policy: mine\n'), 'p.mjs': empty });
    assert.match(line ?? '', /create made nothing with a choose function$/);
  });
});

describe('a configuration that is read again', () => {
  it('has the plugins of the start, and says where their files have changed', async () => {
    const dir = folder({ 'router.yaml': 'plugins: [./p.mjs]\npolicy: mine\n', 'p.mjs': policy('mine') });
    const { plugins } = await good(dir);
    assert.ok(plugins);
    const input = { argv: ['--config-file=router.yaml'], env: {}, cwd: dir, needsWorkers: false };
    const same = rereadConfig(input, plugins);
    assert.deepEqual(same.kind === 'ok' && same.notices, []);
    writeFileSync(join(dir, 'p.mjs'), policy('mine', '/* another */'));
    const other = rereadConfig(input, plugins);
    assert.deepEqual(other.kind === 'ok' && other.notices, [
      'plugins: ./p.mjs changed since the start; that needs a restart',
    ]);
    writeFileSync(join(dir, 'router.yaml'), 'plugins: [./p.mjs, ./new.mjs]\npolicy: newer\n');
    assert.equal(rereadConfig(input, plugins).kind, 'error');
  });
});
