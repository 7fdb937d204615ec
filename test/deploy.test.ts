/** The files in deploy/ fit the project: what they name exists, and the tools that read them accept them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../src/config/load/load.ts';
import { parse } from 'yaml';
import { parseSimFlags } from '../src/sim/server/parse-flags.ts';
import { readPage, ROOT } from './support/pages.ts';
import { startRedis } from './support/redis-server.ts';

interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[];
  readonly ports?: readonly string[];
}

describe('deploy/router.yaml', () => {
  it('is a valid configuration', () => {
    const loaded = loadConfig({ argv: ['--config-file=deploy/router.yaml'], env: {}, cwd: ROOT });
    assert.deepEqual(loaded.kind === 'error' ? loaded.problems : [], []);
  });
});

describe('deploy/Dockerfile', () => {
  const lines = readPage('deploy/Dockerfile')
    .split('\n')
    .filter((line) => /^[A-Z]+ /.test(line));
  const copies = lines.filter((line) => line.startsWith('COPY ')).map((line) => line.split(' ').slice(1));
  const fromContext = copies
    .filter(([first = '']) => !first.startsWith('--from'))
    .flatMap((words) => words.slice(0, -1));

  it('copies what is there', () => {
    assert.ok(fromContext.length > 5);
    assert.deepEqual(
      fromContext.filter((path) => !existsSync(join(ROOT, path))),
      [],
    );
  });

  it('is sent exactly what it copies', () => {
    const sent = readPage('deploy/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    assert.deepEqual(sent.sort(), fromContext.toSorted());
  });

  it('holds all that the package does when it runs', () => {
    const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    const held = copies
      .filter(([first = '']) => first.startsWith('--from'))
      .map((words) => words[1]?.replace('/src/', ''));
    const needed = files.filter((name) => !/\.md$|^LICENSE$|^(docs|examples|deploy)$/.test(name));
    assert.deepEqual(held.sort(), [...needed, 'node_modules', 'package.json'].sort());
  });

  it('runs scripts that exist, on the Node that the project asks for', () => {
    const { scripts, engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: object;
      engines: { node: string };
    };
    const named = lines.flatMap((line) =>
      [...line.matchAll(/npm run (\w+)/g)].map((match) => match[1] ?? ''),
    );
    assert.deepEqual(
      named.filter((name) => !Object.hasOwn(scripts, name)),
      [],
    );
    const images = lines.flatMap((line) => /^FROM node:(\d+)/.exec(line)?.[1] ?? []);
    assert.deepEqual(new Set(images), new Set([engines.node.replace('>=', '')]));
  });

  it('starts the launcher', () => {
    const entry = /^ENTRYPOINT (.*)$/.exec(lines.at(-1) ?? '')?.[1] ?? '[]';
    assert.deepEqual(JSON.parse(entry), ['node', '/app/bin/vllm-router.js']);
  });

  it('sets variables that are settings', () => {
    const env = Object.fromEntries(
      lines.flatMap((line) => (/^ENV (VLLM_ROUTER_\w+)=(.*)$/.exec(line) ? [line.slice(4).split('=')] : [])),
    );
    const loaded = loadConfig({ argv: ['--worker-urls', 'http://gpu1:8000'], env, cwd: ROOT });
    assert.equal(loaded.kind, 'ok');
    assert.equal(loaded.config.host, '0.0.0.0');
    assert.equal(loaded.config.metrics.host, '0.0.0.0');
  });
});

describe('deploy/vllm-router.service', () => {
  const unit = readPage('deploy/vllm-router.service');

  it('gives the process longer to stop than it may take', () => {
    const loaded = loadConfig({ argv: ['--config-file=deploy/router.yaml'], env: {}, cwd: ROOT });
    assert.equal(loaded.kind, 'ok');
    const longest = loaded.config.shutdown_delay_secs + loaded.config.shutdown_timeout_secs;
    assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) > longest);
  });

  it('starts the router with flags that exist', () => {
    const command = /^ExecStart=\/usr\/bin\/env vllm-router (.*)$/m.exec(unit)?.[1] ?? '';
    const argv = command.replace('/etc/vllm-router/', 'deploy/').split(' ');
    assert.equal(loadConfig({ argv, env: {}, cwd: ROOT }).kind, 'ok', command);
  });

  it('has steps in its header that put the unit and the file where they are looked for', () => {
    const steps = unit.split('\n[Unit]')[0] ?? '';
    for (const name of ['vllm-router.service', 'router.yaml'])
      assert.match(steps, new RegExp(`deploy/${name} `));
    const [, target = ''] = /install .* deploy\/vllm-router\.service (\S+)/.exec(steps) ?? [];
    assert.equal(target, '/etc/systemd/system/vllm-router.service');
    assert.ok(steps.indexOf('daemon-reload') > steps.indexOf(target));
    const [, file = ''] = /install .* deploy\/router\.yaml (\S+)/.exec(steps) ?? [];
    assert.ok(unit.includes(`\nExecStart=/usr/bin/env vllm-router --config-file ${file} `));
  });

  it('reloads the file itself, not a copy of the start, and only when it is valid', () => {
    const file = /^ExecStart=.* --config-file (\S+)/m.exec(unit)?.[1] ?? '';
    assert.match(file, /^\/etc\//);
    const reload = [...unit.matchAll(/^ExecReload=(.*)$/gm)].map(([, command]) => command);
    assert.deepEqual(reload, [`/usr/bin/env vllm-router config check ${file}`, '/bin/kill -HUP $MAINPID']);
    assert.doesNotMatch(unit, /^LoadCredential=/m);
  });

  it('may write to its own directories below /var/lib and /var/log', () => {
    assert.match(unit, /^ProtectSystem=strict$/m);
    for (const kind of ['State', 'Logs'])
      assert.match(unit, new RegExp(`^${kind}Directory=vllm-router$`, 'm'));
  });

  it('is a unit that systemd accepts, where there is systemd', (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'vllm-router-unit-'));
    try {
      // The program need not be installed here.
      const file = join(dir, 'vllm-router.service');
      writeFileSync(file, unit.replace(/^ExecStart=.*$/m, 'ExecStart=/bin/true'));
      const { error, status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
      if (error) t.diagnostic('there is no systemd-analyze here');
      else assert.equal(status, 0, stderr);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('deploy/compose', () => {
  const dir = 'deploy/compose';
  // The project's own file.
  const { services } = parse(readPage(`${dir}/compose.yaml`), { merge: true }) as {
    services: Record<string, Service>;
  };

  it('names files that exist and services that it has', () => {
    const missing = Object.values(services).flatMap(({ build, volumes = [], depends_on: needed = [] }) => [
      ...(build ? [join(dir, build.context, build.dockerfile)] : []),
      ...volumes.map((volume) => join(dir, volume.split(':')[0] ?? '')),
      ...needed.filter((name) => !Object.hasOwn(services, name)),
    ]);
    assert.deepEqual(
      missing.filter((path) => !existsSync(join(ROOT, path))),
      [],
    );
  });

  it('starts routers that listen where it says, know every worker and share their state over its Redis', () => {
    const routers = Object.entries(services).filter(([name]) => name.startsWith('router-'));
    assert.equal(routers.length, 2);
    const workers = Object.keys(services).filter((name) => name.startsWith('worker-'));
    for (const [, { command, ports = [] }] of routers) {
      const argv = command.map((word) => word.replace('/etc/vllm-router/', `${dir}/`));
      const loaded = loadConfig({ argv, env: {}, cwd: ROOT });
      assert.deepEqual(loaded.kind === 'error' ? loaded.problems : [], []);
      assert.equal(loaded.kind, 'ok');
      assert.deepEqual(
        loaded.config.worker_urls,
        workers.map((name) => `http://${name}:8000`),
      );
      assert.match(ports[0] ?? '', new RegExp(`:${loaded.config.port}$`));
      const server = loaded.settings.sharedState?.redis.server;
      assert.equal(server?.kind === 'single' && Object.hasOwn(services, server.at.host), true);
    }
  });

  it('starts simulated workers with flags that exist', () => {
    for (const [name, { command }] of Object.entries(services)) {
      if (!name.startsWith('worker-')) continue;
      const [sub, ...flags] = command;
      assert.equal(sub, 'sim');
      assert.equal(parseSimFlags(flags).kind, 'workers', command.join(' '));
    }
  });

  it('starts a server with arguments that a real one takes', async (t) => {
    const [, ...args] = services['redis']?.command ?? [];
    const redis = await startRedis(t, { args });
    if (redis) assert.equal(await redis.ask('PING'), 'PONG');
  });
});

describe('deploy/prometheus', () => {
  // What Prometheus would find beyond syntax, names and labels, test/guide-names.test.ts finds without it.
  for (const [kind, file] of [
    ['config', 'prometheus.yml'],
    ['rules', 'vllm-router.rules.yml'],
  ] as const)
    it(`is accepted by promtool check ${kind}, where there is Prometheus`, (t) => {
      const { error, status, stdout, stderr } = spawnSync(
        'promtool',
        ['check', kind, `deploy/prometheus/${file}`],
        { cwd: ROOT, encoding: 'utf8' },
      );
      if (error) t.skip('there is no promtool here: it comes with the prometheus package');
      else assert.equal(status, 0, stdout + stderr);
    });
});
