/** What happens on a machine that has only an old Node: the set-up, the jobs and the launcher, each run on it. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run, start, type Ended } from './programs.ts';

const ROOT = resolve(import.meta.dirname, '..');
/** A set-up fetches some 50 MB where npm has them in its cache no more. */
const TIMEOUT = { timeout: 300_000 };

const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-setup-'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** The first Node on PATH that is too old for the project: what a user's machine would start the scripts with. */
async function systemOldNode(): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const node = join(folder, 'node');
    if (!existsSync(node)) continue;
    const { stdout } = await run(node, ['--version'], { cwd: scratch });
    const major = Number.parseInt(stdout.slice(1), 10);
    if (major >= 18 && major < 24) return node;
  }
  return undefined;
}

/** The oldest Node that the set-up promises to work with, and an npm of its time. */
async function fetchNode18(): Promise<string | undefined> {
  const folder = join(scratch, 'node-18');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  const name = `node-${process.platform}-${process.arch}`;
  const args = [
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--engine-strict=false',
    `${name}@18`,
    'npm@10',
  ];
  const { status } = await run('npm', args, { cwd: folder });
  if (status !== 0) return undefined;
  // npm follows PATH: Node and npm in one folder, as an installation has them.
  return join(folder, 'node_modules', '.bin', 'node');
}

/** A project as small as can be around the real scripts and the real launcher. */
function makeProject(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(join(folder, 'dep'), { recursive: true });
  mkdirSync(join(folder, 'src'));
  for (const part of ['scripts', 'bin', '.npmrc'])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  // The project's own manifest: an object with a `scripts` object.
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const manifest = {
    name: 'small',
    version: '1.0.0',
    type: 'module',
    scripts,
    dependencies: { dep: 'file:dep' },
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'dep', 'package.json'), JSON.stringify({ name: 'dep', version: '1.0.0' }));
  writeLock(folder, {});
  writeFileSync(
    join(folder, 'src', 'main.ts'),
    `const args: readonly string[] = process.argv.slice(2);
     console.log('main', process.version, args.join(' '));
     if (args[0] === 'exit') process.exitCode = Number(args[1]);
     if (args.includes('wait')) {
       const timer: NodeJS.Timeout = setInterval(() => {}, 1000);
       process.once('SIGTERM', () => { console.log('stopped'); clearInterval(timer); });
       console.log('waiting');
     }`,
  );
  return folder;
}

function writeLock(folder: string, extra: object): void {
  const root = { name: 'small', version: '1.0.0', dependencies: { dep: 'file:dep' } };
  const packages = {
    '': root,
    dep: { version: '1.0.0' },
    'node_modules/dep': { resolved: 'dep', link: true },
  };
  const lock = { name: 'small', version: '1.0.0', lockfileVersion: 3, requires: true, packages, ...extra };
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
}

function describeOn(title: string, findNode: () => Promise<string | undefined>, lacking: string): void {
  describe(title, () => {
    let node = '';
    let folder = '';
    const withOld = (): { cwd: string; env: Record<string, string> } => ({
      cwd: folder,
      env: { PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    const onOld = (...args: string[]): Promise<Ended> => run(node, args, withOld());
    const npm = (...args: string[]): Promise<Ended> => run('npm', args, withOld());

    before(async () => {
      node = (await findNode()) ?? '';
      if (node !== '') folder = makeProject(basename(title).replaceAll(/\W+/g, '-'));
    });

    it('goes from nothing to a running launcher', TIMEOUT, async (t) => {
      if (node === '') {
        t.skip(lacking);
        return;
      }

      await t.test('the launcher says in one line what is missing', async () => {
        const { status, stdout, stderr } = await onOld('bin/vllm-router.js', '--help');
        assert.equal(status, 1);
        assert.equal(stdout, '');
        assert.match(
          stderr,
          /^vllm-router needs Node 24 or newer; this is Node \d+\.\d+\.\d+\. .*npm run setup.*\n$/,
        );
      });

      await t.test(
        'npm start fetches Node, installs the packages with progress shown, and starts the demo',
        async () => {
          const { status, stdout, stderr } = await npm('start', '--', '--port', '0');
          assert.equal(status, 0, stderr);
          assert.match(stderr, /Node 24\.\d+\.\d+ .*this machine has \d+.*done in/);
          assert.match(stderr, /npm ci.*done in/);
          assert.match(stdout, /^main v24\.\d+\.\d+ demo --port 0$/m);
          assert.ok(existsSync(join(folder, 'node_modules', 'dep', 'package.json')));
        },
      );

      await t.test('a second start installs nothing: it does not even need npm', async () => {
        const env = { npm_execpath: join(folder, 'no-such-npm-cli.js'), PATH: '' };
        const { status, stdout, stderr } = await run(node, ['scripts/start.mjs'], { cwd: folder, env });
        assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
        assert.match(stdout, /^main v24\..* demo$/m);
      });

      await t.test('a changed lockfile installs the packages again, and only them', async () => {
        writeLock(folder, { 'x-changed': true });
        const { status, stderr } = await onOld('scripts/setup.mjs');
        assert.equal(status, 0, stderr);
        assert.match(stderr, /npm ci.*done in/);
        assert.doesNotMatch(stderr, /Node 24/);
        const again = await onOld('scripts/setup.mjs');
        assert.equal(again.stderr, '');
      });

      await t.test('an install that was cut short is done again', async () => {
        rmSync(join(folder, 'node_modules'), { recursive: true });
        mkdirSync(join(folder, 'node_modules'));
        assert.match((await onOld('scripts/setup.mjs')).stderr, /npm ci.*done in/);
      });

      await t.test(
        "a failing install is told in npm's words and leaves nothing that looks installed",
        async () => {
          writeFileSync(join(folder, 'package-lock.json'), '{');
          const { status, stderr } = await onOld('scripts/setup.mjs');
          assert.equal(status, 1);
          assert.match(stderr, /npm ci .*failed \(exit status \d+\)/);
          assert.doesNotMatch(stderr, /\n\s+at /);
          assert.equal((await onOld('scripts/setup.mjs')).status, 1);
          writeLock(folder, {});
          assert.equal((await onOld('scripts/setup.mjs')).status, 0);
        },
      );

      await t.test(
        'the launcher hands over to the fetched Node: arguments, exit status and signals',
        async (t) => {
          const exit = await onOld('bin/vllm-router.js', 'exit', '7');
          assert.equal(exit.status, 7);
          assert.match(exit.stdout, /^main v24\..* exit 7$/m);

          const waiting = start(t, node, ['bin/vllm-router.js', 'wait'], withOld());
          await waiting.printed(/waiting/);
          waiting.child.kill('SIGTERM');
          const { status, stdout } = await waiting.ended;
          assert.equal(status, 0);
          assert.match(stdout, /stopped/);
        },
      );

      await t.test('ending npm ends what it started', async (t) => {
        const npmStart = start(t, 'npm', ['start', '--', 'wait'], withOld());
        await npmStart.printed(/waiting/);
        npmStart.child.kill('SIGTERM');
        const { stdout } = await npmStart.ended;
        assert.match(stdout, /stopped/);
      });

      await t.test('an unknown job is refused with the list of jobs', async () => {
        const { status, stderr } = await onOld('scripts/run.mjs', 'deploy');
        assert.equal(status, 2);
        assert.match(
          stderr,
          /Unknown job "deploy"\. There are: check, test, build, docs, bench, bench:peers, soak, fuzz, test:vllm\./,
        );
      });
    });
  });
}

const lacking = `registry lacks node-${process.platform}-${process.arch}@18`;
describeOn('on Node 18', fetchNode18, lacking);
if ((await systemOldNode()) !== undefined) describeOn('on the old Node of this machine', systemOldNode, '');

describe('a fresh copy of the project', () => {
  it('answers a chat after nothing but npm start, and stops when told to', TIMEOUT, async (t) => {
    const node = (await systemOldNode()) ?? process.execPath;
    const folder = join(scratch, 'fresh');
    const notInClone = new Set(['node_modules', '.git', '.node', 'dist', 'results']);
    cpSync(ROOT, folder, { recursive: true, filter: (path) => !notInClone.has(basename(path)) });
    const env = { PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` };

    const demo = start(t, 'npm', ['start', '--', '--port', '0', '--prometheus-port', '0'], {
      cwd: folder,
      env,
    });
    const [, address = ''] = await demo.printed(/curl[^]*?(http:\/\/[\w.]+:\d+)\/v1\/chat\/completions/);
    await demo.printed(/\/metrics/);
    await demo.printed(/Ctrl-?\+?C/i);
    const models = await fetch(`${address}/v1/models`);
    // vLLM's list of models.
    const { data } = (await models.json()) as { data: { id: string }[] };
    const answer = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: data[0]?.id,
        messages: [{ role: 'user', content: 'Hello' }],
        max_tokens: 4,
      }),
    });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /"assistant"/);
    assert.match(answer.headers.get('x-vllm-router-worker') ?? '', /^http:/);

    // What a terminal does on Ctrl-C: the signal goes to everything in the foreground.
    process.kill(-(demo.child.pid ?? 0), 'SIGINT');
    await demo.ended;
  });
});
