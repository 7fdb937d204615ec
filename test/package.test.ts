/** The package as users get it: packed, installed into an empty folder, run and imported there. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { run, start, type Ended } from './programs.ts';
import { deadLinks } from './support/pages.ts';

const ROOT = resolve(import.meta.dirname, '..');
/** A build, and an install that may have to ask the registry. */
const TIMEOUT = { timeout: 300_000 };
const NPM_FLAGS = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'];

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Record<string, string>;
}

// The project's own manifest.
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-package-'));
const tarball = join(scratch, `${manifest.name}-${manifest.version}.tgz`);
const home = join(scratch, 'home');
const launcher = join(home, 'node_modules', '.bin', 'vllm-router');

after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

async function succeed(file: string, args: readonly string[], cwd: string): Promise<Ended> {
  const ended = await run(file, args, { cwd });
  assert.equal(ended.status, 0, `${file} ${args.join(' ')}:\n${ended.stdout}\n${ended.stderr}`);
  return ended;
}

describe('the package', () => {
  before(async () => {
    await succeed(process.execPath, ['scripts/build.mjs'], ROOT);
    await succeed('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], ROOT);
    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }');
    await succeed('npm', ['install', ...NPM_FLAGS, tarball], home);
  }, TIMEOUT);

  it('holds the program and its papers, and nothing else', async () => {
    const { stdout } = await succeed('tar', ['-tzf', tarball], scratch);
    const files = stdout.trim().split('\n');
    const expected =
      /^package\/(package\.json|(README|CHANGELOG|CONTRIBUTING)\.md|LICENSE|bin\/vllm-router\.js|dist\/.*\.(js|d\.ts)|docs\/.*\.md|examples\/.*\.ts|deploy\/.*)$/;
    assert.deepEqual(
      files.filter((file) => !expected.test(file) || file.includes('.test.')),
      [],
    );
    for (const needed of [
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'dist/main.js',
      'dist/index.js',
      'dist/index.d.ts',
    ]) {
      assert.ok(files.includes(`package/${needed}`), `${needed} is missing`);
    }
  });

  it('has pages whose links lead to files that came along', () => {
    const root = join(home, 'node_modules', manifest.name);
    const pages = [...globSync('*.md', { cwd: root }), ...globSync('docs/**/*.md', { cwd: root })];
    assert.ok(pages.includes('README.md') && pages.includes(join('docs', 'README.md')) && pages.length > 25);
    // Pages about the design point into the sources, which stay in the repository.
    const intoSources = /^docs\/design\/[^:]*: \.\.\/\.\.\/(?:src|bench)\//;
    assert.deepEqual(
      deadLinks(pages, root).filter((dead) => !intoSources.test(dead)),
      [],
    );
  });

  it('is no larger than it must be', () => {
    assert.ok(statSync(tarball).size < 1_750_000, `${statSync(tarball).size} bytes`);
  });

  it('brings no development tools along', () => {
    const modules = join(home, 'node_modules');
    for (const tool of ['typescript', 'eslint', 'openai', 'fast-check']) {
      assert.equal(existsSync(join(modules, tool)), false, `${tool} came along`);
    }
  });

  it('has a shape that publint finds nothing wrong with', async () => {
    const bytes = readFileSync(tarball);
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const { messages, pkg } = await publint({ pack: { tarball: copy }, strict: true });
    assert.deepEqual(
      messages.map((message) => formatMessage(message, pkg ?? {}, { color: false })),
      [],
    );
  });

  it('answers --version and --help', async () => {
    const version = await succeed(launcher, ['--version'], home);
    assert.equal(version.stdout.trim(), `vllm-router ${manifest.version}`);
    const help = await succeed(launcher, ['--help'], home);
    assert.match(help.stdout, /--worker-urls/);
  });

  it('prints its configuration schema', async () => {
    const { stdout } = await succeed(launcher, ['config', 'schema'], home);
    // Checked by the assertion below.
    const schema = JSON.parse(stdout) as { properties?: Record<string, unknown> };
    assert.ok(schema.properties?.['worker_urls'] !== undefined);
  });

  it('refuses a flag it does not know in one line, with exit code 2', async () => {
    const { status, stderr } = await run(launcher, ['--worker-url', 'http://127.0.0.1:1'], { cwd: home });
    assert.equal(status, 2);
    assert.match(stderr, /^[^\n]*--worker-url[^\n]*\n$/);
  });

  it('routes a chat to a simulated worker', TIMEOUT, async (t) => {
    const sim = start(t, launcher, ['sim', '--count', '1', '--port', '0'], { cwd: home });
    const [worker] = await sim.printed(/http:\/\/127\.0\.0\.1:\d+/);
    const flags = ['--worker-urls', worker, '--host', '127.0.0.1', '--port', '0', '--prometheus-port', '0'];
    const router = start(t, launcher, [...flags, '--log-format', 'json'], { cwd: home });
    const address = await listeningAddress(router);

    await ready(`${address}/readiness`);
    const answer = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: await firstModel(address),
        messages: [{ role: 'user', content: 'Hello' }],
        max_tokens: 4,
      }),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    assert.match(text, /"assistant"/);
    assert.equal(answer.headers.get('x-vllm-router-worker'), worker);

    router.child.kill('SIGTERM');
    assert.equal((await router.ended).status, 0);
    sim.child.kill('SIGTERM');
    assert.equal((await sim.ended).status, 0);
  });

  it('is imported with its types', TIMEOUT, async () => {
    writeFileSync(
      join(home, 'own.ts'),
      `import { Router } from 'vllm-router';
       const router = new Router({ workerUrls: ['http://127.0.0.1:1'], port: 0, host: '127.0.0.1' });
       const started: Promise<unknown> = router.start();
       await started;
       await router.stop();
       // @ts-expect-error an option that does not exist
       new Router({ workerUrl: 'http://127.0.0.1:1' });`,
    );
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--target', 'es2024', '--module', 'nodenext', '--types', 'node'];
    const typeRoots = ['--typeRoots', join(ROOT, 'node_modules', '@types'), '--skipLibCheck', 'false'];
    await succeed(process.execPath, [compiler, ...options, ...typeRoots, 'own.ts'], home);
  });

  it('has types for plugins, and loads them wherever they stand', TIMEOUT, async () => {
    const examples = join(ROOT, 'examples/plugins');
    for (const name of ['least-recently-used.ts', 'session-directory.ts', 'no-secrets.ts'])
      copyFileSync(join(examples, name), join(home, name));
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--target', 'es2024', '--module', 'nodenext', '--types', 'node'];
    const typeRoots = ['--typeRoots', join(ROOT, 'node_modules', '@types'), '--skipLibCheck'];
    const files = ['least-recently-used.ts', 'session-directory.ts', 'no-secrets.ts'];
    await succeed(process.execPath, [compiler, ...options, ...typeRoots, ...files], home);

    // Outside of the folder that the package is installed in, where nothing else leads to it.
    const elsewhere = join(scratch, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(
      join(elsewhere, 'mine.mjs'),
      `import { definePlugin, EXCLUDED } from 'vllm-router';
       const choose = (ask, pool) => ({ kind: 'chosen', index: pool.mask.indexOf(EXCLUDED.no), reason: 'first' });
       export default definePlugin({ apiVersion: 1, policies: { mine: { create: () => ({ choose }) } } });`,
    );
    const names = [join(home, 'least-recently-used.ts'), './mine.mjs'];
    writeFileSync(join(elsewhere, 'router.yaml'), `plugins: ${JSON.stringify(names)}\npolicy: mine\n`);
    const checked = await succeed(launcher, ['config', 'check', 'router.yaml'], elsewhere);
    assert.match(checked.stdout, /^plugin \.\/mine\.mjs: policy mine$/m);
    assert.match(checked.stdout, /least-recently-used\.ts: policy least_recently_used$/m);
  });

  it('loads a plugin inside another program', TIMEOUT, async () => {
    writeFileSync(
      join(home, 'program.mjs'),
      `import { Router } from 'vllm-router';
       const plugins = ['./least-recently-used.ts'];
       const policy = { type: 'least_recently_used', max_running: 2 };
       const options = { workerUrls: ['http://127.0.0.1:1'], port: 0, metrics: { port: 0 }, logLevel: 'error' };
       const router = await Router.load({ ...options, plugins, policy });
       await router.start();
       await router.stop();`,
    );
    await succeed(process.execPath, ['program.mjs'], home);
  });
});

async function listeningAddress(router: ReturnType<typeof start>): Promise<string> {
  const match = await router.printed(/"url":"(http:\/\/127\.0\.0\.1:\d+)".*\blistens\b/);
  return match[1] ?? '';
}

/** Readiness comes from a health check in another process, so this asks again until it is there; the test's limit ends it. */
async function ready(url: string): Promise<void> {
  while ((await fetch(url)).status !== 200);
}

async function firstModel(address: string): Promise<string> {
  const answer = await fetch(`${address}/v1/models`);
  // vLLM's list of models.
  const { data } = (await answer.json()) as { data: { id: string }[] };
  return data[0]?.id ?? 'none';
}
