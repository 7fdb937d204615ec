/**
 * The guide pages cannot rot: what they show is run, parsed or looked up. Configuration blocks go through the checks of
 * `config check`, command lines through the flag parsers, curl lines and programs run against a simulated fleet, and names,
 * defaults and queries are compared with the code's own tables.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, describe, it, type TestContext } from 'node:test';
import { problemLine } from '../src/config/load/layer.ts';
import { importModule } from '../src/plugins/import-module.ts';
import { loadConfigWithPlugins } from '../src/plugins/load-plugins.ts';
import { PluginSet } from '../src/plugins/plugin-set.ts';
import { SUB_COMMAND_NAMES } from '../src/config/show/sub-commands.ts';
import { silentLog, type Log } from '../src/observe/log.ts';
import { parseSimFlags } from '../src/sim/server/parse-flags.ts';
import { contendersOf } from '../src/simulate/study/contenders.ts';
import { parseDoctorFlags } from '../src/doctor/flags.ts';
import { parseReplayFlags } from '../src/replay/flags.ts';
import { parseSimulateFlags } from '../src/simulate/study/parse-flags.ts';
import { startSimWorker } from '../src/sim/server/server.ts';
import { run } from './programs.ts';
import { createPolicy } from '../src/routing/policies/index.ts';
import { chat } from './support/chat.ts';
import { startFleet, type Fleet, type FleetOptions } from './support/fleet.ts';
import { askFor, dispatch, FakeFleet } from './support/pool.ts';
import { authority } from './support/self-signed.ts';
import { blocksOf, commandsOf, ROOT, type Block, type Command } from './support/pages.ts';

const GUIDES = [
  ...['first-route', 'policies', 'reliability', 'observability', 'operate'],
  ...[
    'workers-api',
    'admin',
    'gateway',
    'kv-cache',
    'lmcache',
    'prefill-decode',
    'model-rules',
    'anthropic',
    'plugins',
    'reload',
    'doctor',
    'exact-tokens',
    'security',
    'hooks',
    'tenants',
    'semantic',
    'threads',
    'replicas',
    'fair-queue',
    'response-cache',
    'external-backends',
    'simulate',
    'replay',
  ],
].map((name) => `docs/guide/${name}.md`);
/** Pages whose commands are looked at; the rest of the simulator's page is its own tests' business. */
const WITH_COMMANDS = [...GUIDES, 'docs/guide/sim.md', 'README.md'];
const MODELS = ['Qwen/Qwen3-8B', 'sim-model', 'your-model'];
/** Where a page's workers are others than two plain ones. */
const WORKERS: Readonly<Record<string, FleetOptions['workers']>> = {
  'docs/guide/prefill-decode.md': [
    { models: MODELS, role: 'prefill' },
    { models: MODELS, role: 'decode' },
  ],
};
/** What the router of a page's curl lines needs beside its workers. */
const ROUTERS: Readonly<Record<string, FleetOptions['router']>> = {
  'docs/guide/gateway.md': { enableIgw: true, engineWaitTimeoutSecs: 60 },
  'docs/guide/model-rules.md': { modelRules: [{ match: 'gpt-4', rewrite: 'Qwen/Qwen3-8B' }] },
  'docs/guide/response-cache.md': { cache: { backend: 'memory' } },
  get 'docs/guide/security.md'() {
    return tlsRouter();
  },
  'docs/guide/tenants.md': {
    apiKeys: [{ name: 'search', key: 'sk-search', rateLimitRps: 20, tokensPerMinute: 600_000 }],
  },
};

const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-guide-'));
copyFileSync(join(ROOT, 'deploy/router.yaml'), join(scratch, 'router.yaml'));
const EXAMPLE_PLUGINS = join(ROOT, 'examples/plugins');
cpSync(EXAMPLE_PLUGINS, scratch, { recursive: true });
// Where bare imports of a page's programs find the project's packages.
const programs = join(ROOT, 'node_modules', `.guide-${process.pid}`);
mkdirSync(programs);
after(() => {
  rmSync(scratch, { recursive: true, force: true });
  rmSync(programs, { recursive: true, force: true });
});

function blocks(pages: readonly string[], lang: string): Block[] {
  return pages.flatMap((page) => blocksOf(page).filter((block) => block.lang === lang));
}

describe('configuration blocks', () => {
  for (const [index, block] of blocks(GUIDES, 'yaml').entries()) {
    const wrong = block.text.startsWith('# wrong\n');
    it(`${block.at} ${wrong ? 'gets the answers on the page' : 'is valid'}`, async () => {
      const dir = join(scratch, String(index));
      cpSync(EXAMPLE_PLUGINS, dir, { recursive: true });
      writeFileSync(join(dir, 'router.yaml'), block.text);
      // Variables and files that secrets refer to are the reader's.
      const argv = ['--config-file=router.yaml'];
      const loaded = await loadConfigWithPlugins({ argv, env: {}, cwd: dir, lenient: !wrong });
      const problems = loaded.kind === 'error' ? loaded.problems.map(problemLine) : [];
      if (!wrong) assert.deepEqual(problems, []);
      else
        assert.ok(
          blocks(GUIDES, 'text').some(({ text }) => text === `${problems.join('\n')}\n`),
          problems.join('\n'),
        );
    });
  }
});

describe('commands', () => {
  const commands = blocks(WITH_COMMANDS, 'sh').flatMap(commandsOf);
  for (const command of commands) {
    it(`${command.at} ${command.text.slice(0, 80)}`, async () => {
      const wrong = await problemOf(command);
      assert.equal(wrong, undefined);
    });
  }

  it('are found', () => {
    assert.ok(commands.length > 20, `${commands.length} commands`);
  });
});

type Problem = string | undefined | Promise<string | undefined>;

/** What is wrong with a command of a page, if anything. Programs that are not known here are. */
function problemOf({ program, args, env }: Command): Problem {
  switch (program) {
    case 'vllm-router':
    case 'bin/vllm-router.js':
      return routerProblem(args, env);
    case 'npm':
      return npmProblem(args);
    case 'curl':
    case 'vllm':
      return undefined;
    case 'node':
      return args[0] === 'chats.mjs' ? undefined : `no page shows ${args[0] ?? ''}`;
    default:
      return `unknown program ${program}`;
  }
}

function routerProblem(args: readonly string[], env: Command['env']): Problem {
  const [first = '', ...rest] = args;
  const command = SUB_COMMAND_NAMES.find((name) => name === first);
  if (command === 'sim') {
    const flags = parseSimFlags(rest);
    return flags.kind === 'error' ? flags.message : undefined;
  }
  if (command === 'simulate') {
    const flags = parseSimulateFlags(rest);
    if (flags.kind !== 'options') return flags.kind === 'error' ? flags.message : undefined;
    const contenders = contendersOf(flags.options);
    return typeof contenders === 'string' ? contenders : undefined;
  }
  if (command === 'replay') {
    const flags = parseReplayFlags(rest);
    return flags.kind === 'error' ? flags.message : undefined;
  }
  if (command === 'doctor') {
    const flags = parseDoctorFlags(rest);
    if (flags.kind !== 'options') return flags.kind === 'error' ? flags.message : undefined;
    return loadProblem(flags.options.rest, env, flags.options.routerUrl === undefined);
  }
  if (command === 'config') return configProblem(rest, env);
  const argv = command === 'demo' ? rest : args;
  return loadProblem(argv, env, command !== 'demo');
}

function configProblem([action = '', ...rest]: readonly string[], env: Command['env']): Problem {
  if (action === 'check') return loadProblem([`--config-file=${rest[0] ?? ''}`], {}, false);
  if (action === 'print') return loadProblem(rest, env, false);
  return action === 'schema' ? undefined : `unknown command config ${action}`;
}

async function loadProblem(
  argv: readonly string[],
  env: Command['env'],
  needsWorkers: boolean,
): Promise<string | undefined> {
  const loaded = await loadConfigWithPlugins({ argv, env, cwd: scratch, needsWorkers });
  return loaded.kind === 'error' ? loaded.problems.map(problemLine).join('\n') : undefined;
}

function npmProblem([verb = '', name = '']: readonly string[]): string | undefined {
  if (verb === 'install' || verb === 'pack') return undefined;
  const script = verb === 'run' ? name : verb;
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  return Object.hasOwn(scripts, script) ? undefined : `no script ${script}`;
}

describe('plugins on the pages', () => {
  for (const [index, block] of blocks(GUIDES, 'ts').entries()) {
    it(`${block.at} can be loaded and choose`, async () => {
      writeFileSync(join(scratch, `plugin-${index}.ts`), block.text);
      const imported = await importModule(`./plugin-${index}.ts`, scratch);
      assert.ok(imported.kind === 'ok', JSON.stringify(imported));
      const set = new PluginSet([]);
      assert.equal(set.add({ from: block.at, exported: imported.exported }), undefined);
      const fleet = new FakeFleet();
      for (const name of set.policyNames) {
        const known = set.policy(name, {});
        assert.ok(known?.kind === 'ok', JSON.stringify(known));
        const policy = createPolicy(
          {
            ...{ type: 'plugin', name, plugin: known.plugin, parameters: known.parameters },
            ...{ fallback: { type: 'random' }, timeoutMs: 50, overrunMs: 10 },
          },
          fleet.deps,
          ({ message }) => assert.fail(message),
        );
        const indices = [1, 2, 3].map(() => dispatch(policy, askFor(), fleet.pool(3)).index);
        assert.equal(new Set(indices).size, 3);
      }
    });
  }
});

describe('what the pages run', () => {
  for (const page of WITH_COMMANDS) {
    const curls = blocksOf(page).filter((block) => block.lang === 'sh' && /^curl /m.test(block.text));
    if (curls.length > 0) it(`curl on ${page}`, (t) => runCurls(t, page));
  }

  for (const block of blocks(GUIDES, 'js')) {
    it(`the program at ${block.at}`, async () => {
      await using fleet = await startGuideFleet();
      const file = join(programs, 'program.mjs');
      writeFileSync(file, onFleet(block.text, fleet));
      // chats.mjs: two short conversations of two turns each instead of many long ones.
      const small = block.text.startsWith('// chats.mjs') ? [fleet.url, '2', '2', '5'] : [];
      const { status, stdout, stderr } = await run(process.execPath, [file, ...small], { cwd: programs });
      assert.equal(status, 0, stderr);
      assert.notEqual(stdout.trim(), '');
    });
  }

  for (const block of blocks(GUIDES, 'python')) {
    it(`the Python program at ${block.at} compiles`, (t) => {
      const program = 'import ast, sys; ast.parse(sys.stdin.read())';
      const done = spawnSync('python3', ['-c', program], { input: block.text, encoding: 'utf8' });
      if (done.error) t.skip(`python3 does not run here: ${done.error.message}`);
      else assert.equal(done.status, 0, done.stderr);
    });
  }
});

function startGuideFleet(log: Log = silentLog, page = ''): Promise<Fleet> {
  const { [page]: workers = [{ models: MODELS }, { models: MODELS }] } = WORKERS;
  const { [page]: router = {} } = ROUTERS;
  return startFleet({ workers, log, router, reloadable: true });
}

/** A gateway whose workers, one per model, are there but not registered yet. */
async function startEmptyGateway(page: string): Promise<Fleet> {
  const workers = await Promise.all(
    ['qwen3-8b', 'llama3'].map((model) => startSimWorker({ models: [model], timeScale: 0.05 })),
  );
  const fleet = await startFleet({ workers: [], router: { ...ROUTERS[page] } });
  const stop = async (): Promise<void> => {
    await fleet.stop();
    await Promise.all(workers.map((worker) => worker.stop()));
  };
  return { ...fleet, workers, stop, [Symbol.asyncDispose]: stop };
}

/** With the certificates that the page's curl lines name. */
function tlsRouter(): FleetOptions['router'] {
  const ca = authority();
  const file = (name: string, text: string): string => {
    writeFileSync(join(scratch, name), text);
    return join(scratch, name);
  };
  const [server, client] = [ca.issue(), ca.issue()];
  file('client.crt', client.cert);
  file('client.key', client.key);
  return {
    ...{ sslCertfile: file('server.crt', server.cert), sslKeyfile: file('server.key', server.key) },
    ...{ sslCaCerts: file('ca.pem', ca.cert), sslCertReqs: 'optional' },
  };
}

/** The addresses of the pages, replaced by those of a running fleet. */
function onFleet(text: string, fleet: Fleet): string {
  return text
    .replace(/https?:\/\/127\.0\.0\.1:(30000|3000)\b/g, fleet.url)
    .replace('http://127.0.0.1:29000/metrics', fleet.metricsUrl)
    .replace(/http:\/\/127\.0\.0\.1:800(\d)/g, (_, digit) => fleet.workers[Number(digit) % 2]?.url ?? '')
    .replace("from 'vllm-router'", `from '${pathToFileURL(join(ROOT, 'src/index.ts')).href}'`)
    .replace('port: 0 }', 'port: 0, metrics: { port: 0 }, logLevel: "error" }');
}

async function runCurls(t: TestContext, page: string): Promise<void> {
  if (spawnSync('curl', ['--version']).error) {
    t.skip('there is no curl here');
    return;
  }
  await using fleet = await (page.endsWith('/gateway.md')
    ? startEmptyGateway(page)
    : startGuideFleet(silentLog, page));
  let head = '';
  for (const block of blocksOf(page)) {
    if (block.lang === 'sh') {
      for (const command of commandsOf(block))
        if (command.program === 'curl') head = await runCurl(command, fleet);
    } else if (block.lang === 'http') assertShows(head, block);
  }
}

/** Runs one curl line and returns what it printed. The status must be good, or the one that a fault in the line asks for. */
async function runCurl(command: Command, fleet: Fleet): Promise<string> {
  const line = `${onFleet(command.text, fleet)} --noproxy '*' --max-time 20 -w '\\n%{http_code}'`;
  const { status, stdout, stderr } = await run('sh', ['-c', line], { cwd: scratch });
  assert.equal(status, 0, `${command.at}: ${command.text}\n${stderr}`);
  const code = Number(stdout.slice(stdout.lastIndexOf('\n') + 1));
  const asked = /x-sim-fault: status:code=(\d+)/.exec(command.text)?.[1];
  if (asked === undefined) assert.ok(code >= 200 && code < 400, `${command.at}: ${command.text}\n${stdout}`);
  else assert.equal(code, Number(asked), command.at);
  return stdout;
}

const CHANGES_EACH_TIME = new Set(['x-request-id', 'x-vllm-router-worker', 'server-timing']);

/** Every header on the page is really sent, with that value unless it changes each time. */
function assertShows(printed: string, { at, text }: Block): void {
  const sent = headersIn(printed);
  assert.equal(printed.split('\r\n')[0], text.split('\n')[0], at);
  for (const [name, value] of headersIn(text)) {
    assert.ok(sent.has(name), `${at}: ${name} is not sent`);
    if (!CHANGES_EACH_TIME.has(name)) assert.equal(sent.get(name), value, `${at}: ${name}`);
  }
}

function headersIn(text: string): Map<string, string> {
  const lines = text.split(/\r?\n\r?\n/)[0] ?? '';
  return new Map(
    [...lines.matchAll(/^([\w-]+): (.*?)\r?$/gm)].map(([, name = '', value = '']) => [
      name.toLowerCase(),
      value,
    ]),
  );
}

describe('records on the pages', () => {
  it('have the fields that real ones have', async () => {
    const lines: object[] = [];
    const log: Log = {
      ...silentLog,
      info: (fields) => lines.push({ level: '', time: '', msg: '', ...fields }),
    };
    await using fleet = await startGuideFleet(log);
    const fields = { model: 'Qwen/Qwen3-8B', stream: true, stream_options: { include_usage: true } };
    await (await chat(fleet, fields)).text();
    const decision = await fleet.decision();
    const real = new Map([
      ['schema_version', decision],
      ['msg', lines.at(-1)],
    ]);
    const shown = blocks(['docs/guide/observability.md'], 'json').map(
      (block) => JSON.parse(block.text) as object,
    );
    assert.equal(shown.length, 2);
    for (const record of shown) {
      const kind = 'schema_version' in record ? 'schema_version' : 'msg';
      assert.deepEqual([...namesIn(record)].sort(), [...namesIn(real.get(kind))].sort());
    }
  });
});

/** Names of all fields, those of objects in lists included; undefined ones are not there. */
function namesIn(value: unknown, prefix = ''): Set<string> {
  if (Array.isArray(value)) return new Set(value.flatMap((item) => [...namesIn(item, `${prefix}[]`)]));
  if (typeof value !== 'object' || value === null) return new Set([prefix]);
  const present = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return new Set(present.flatMap(([name, inner]) => [...namesIn(inner, `${prefix}.${name}`)]));
}
