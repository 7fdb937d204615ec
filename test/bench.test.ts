import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MODEL } from '../bench/load/canned-answers.ts';
import { CannedWorker, streamBytes } from '../bench/load/canned-worker.ts';
import { runCounted, runHold } from '../bench/load/loads.ts';
import { cpuMsBetween, cpuTimes } from '../bench/load/process-usage.ts';
import type { Measured } from '../bench/load/protocol.ts';
import { StreamMark } from '../bench/load/stream-mark.ts';
import { readOptions, type Options } from '../bench/options.ts';
import { barBesidePeers } from '../bench/peers/bar.ts';
import { CACHE_AWARE_PEERS } from '../bench/peers/peers.ts';
import { peersTable } from '../bench/peers/peers-table.ts';
import { programInVenv } from '../bench/peers/venv.ts';
import { renderBars } from '../bench/report.ts';
import { fileName, writeResults } from '../bench/results.ts';
import { medianOf, ratioOf, ratioOfAdded, type Rounds } from '../bench/rounds.ts';

interface After {
  after(fn: () => void): void;
}

const ROOT = join(import.meta.dirname, '..');

describe('the bars of the benchmark', () => {
  const cost = (rounds: Rounds): number => medianOf(rounds, ({ cpuMs }) => cpuMs);
  const bar = (...all: Rounds[]): ReturnType<typeof barBesidePeers> =>
    barBesidePeers('CPU', 0.6, all, all[0], cost, (one, other) => ratioOf(one, other, ({ cpuMs }) => cpuMs));
  const [first = '', second = ''] = CACHE_AWARE_PEERS;

  it('set the router beside the cheapest peer that looks at caches', () => {
    const cheapButBlind = roundsOf('pypi:vllm-router-round_robin', [1, 1]);
    const { measured, note } = bar(
      roundsOf('router', [6, 6]),
      roundsOf(first, [20, 20]),
      roundsOf(second, [10, 10]),
      cheapButBlind,
    );
    assert.deepEqual([measured, note], [0.6, second]);
  });

  it('do not take a peer for cheap that failed requests', () => {
    const failing = roundsOf(second, [1, 1], 3);
    assert.equal(bar(roundsOf('router', [6, 6]), roundsOf(first, [20, 20]), failing).note, first);
  });

  it('say "not measured" and why where there is no peer', () => {
    const printed = renderBars([bar(roundsOf('router', [6, 6]))]);
    assert.match(printed, /not measured.*npm run bench:peers/);
    assert.doesNotMatch(printed, /NOT MET/);
  });

  it('take no bar for met because a difference drowned in noise', () => {
    assert.equal(ratioOfAdded(3, 2), 1.5);
    assert.equal(Number.isFinite(ratioOfAdded(-0.3, 2)), false);
    const all = [roundsOf('router', [6, 6]), roundsOf(first, [20, 20])];
    const { measured, note } = barBesidePeers('p50', 1, all, all[0], cost, () => ratioOfAdded(-0.3, 2));
    assert.equal(measured, undefined);
    assert.match(note ?? '', /above the noise/);
  });

  it('leave out a round in which nothing ended', () => {
    assert.equal(
      medianOf(roundsOf('router', [4, Infinity, 4]), ({ cpuMs }) => cpuMs),
      4,
    );
  });
});

describe('the table of the peers', () => {
  it('has a line per target with its version, over all parts', () => {
    const request = ['direct', 'bare', first(), 'router'].map((name) => roundsOf(name, [10, 10]));
    const table = peersTable(
      new Map([['request', { rounds: request }]]),
      new Map([[first(), '1.2.3']]),
      new Date('2026-11-30T08:00:00Z'),
    );
    assert.match(table.title, /2026-11-30/);
    assert.deepEqual(
      table.rows.map((row) => row.slice(0, 5)),
      [
        ['bare', '', '100', '1.00x', '-'],
        [first(), '1.2.3', '100', '1.00x', '-'],
        ['router', '', '100', '1.00x', '-'],
      ],
    );
  });

  function first(): string {
    return CACHE_AWARE_PEERS[0] ?? '';
  }
});

describe('the options of the benchmark', () => {
  it('has no part beside peers that concerns this router alone', () => {
    assert.deepEqual(optionsOf('--no-install').parts, ['request', 'large', 'sse']);
    assert.deepEqual(optionsOf('--only', 'streams').parts, ['streams']);
    assert.throws(() => readOptions(['--only', 'fleet'], true), /unknown part "fleet"/);
  });

  it('puts no Python packages into the tree', () => {
    assert.throws(() => optionsOf('--venv', join(ROOT, '.cache')), /--venv must lead out of/);
    assert.equal(optionsOf('--venv', `${ROOT}-venvs`).venvs, `${ROOT}-venvs`);
  });

  it('takes no name for a result that leads elsewhere', () => {
    assert.throws(() => optionsOf('--keep', '../elsewhere'), /--keep wants a name/);
  });

  function optionsOf(...argv: string[]): Options {
    const options = readOptions(argv, true);
    assert.ok(options !== 'help');
    return options;
  }
});

describe('the results of the benchmark', () => {
  const startedAt = new Date('2026-11-30T08:01:02.345Z');

  it('are ignored by git unless they were given a name', (t) => {
    if (!existsSync(join(ROOT, '.git'))) {
      t.skip('this is no git checkout');
      return;
    }
    const ignored = (keep: string | undefined): boolean =>
      spawnSync('git', ['check-ignore', '--no-index', '-q', `bench/results/${fileName(startedAt, keep)}`], {
        cwd: ROOT,
      }).status === 0;
    assert.equal(ignored(undefined), true);
    assert.equal(ignored('peers'), false);
  });

  it('say with what they were measured, and not where', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-results-'));
    try {
      const options = readOptions(['--keep', 'peers', '--venv', '/somewhere/venvs'], true);
      assert.ok(options !== 'help');
      const versions = new Map([['nginx', '1.22.1']]);
      const file = writeResults(folder, {
        reports: new Map([
          [
            'idle',
            {
              table: { title: '', columns: [], rows: [] },
              bars: [{ name: 'a', measured: undefined, limit: 1, unit: 'x' }],
              data: [],
            },
          ],
        ]),
        run: { options, versions, missing: new Map() },
        startedAt,
      });
      assert.equal(file, join(folder, '2026-11-30-peers.json'));
      const text = readFileSync(file, 'utf8');
      const content: unknown = JSON.parse(text);
      assert.partialDeepStrictEqual(content, {
        started_at: startedAt.toISOString(),
        versions: { node: process.version, nginx: '1.22.1' },
        bars: [{ name: 'a', measured: null, met: null }],
      });
      assert.doesNotMatch(text, /somewhere/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('a peer', () => {
  it('that is not installed, and is not to be, is missing for a reason', () => {
    const found = programInVenv({ pypiPackage: 'some-router', version: '1.0.0' }, 'some-router', {
      venvs: '/nowhere',
      mayInstall: false,
    });
    assert.ok('missing' in found);
    assert.match(found.missing, /some-router-1\.0\.0.*nothing is to be installed/);
  });
});

describe('a canned worker', () => {
  it('answers what routers ask before they send anything', async (t) => {
    const url = await started(t);
    for (const path of [
      '/health',
      '/version',
      '/v1/models',
      '/metrics',
      '/get_model_info',
      '/get_server_info',
      '/get_load',
    ]) {
      const response = await fetch(`${url}${path}?with=query`);
      assert.equal(response.status, 200, path);
      assert.ok((await response.text()).length > 0, path);
    }
    assert.equal((await fetch(`${url}/generate_nothing`)).status, 404);
  });

  it('streams where the body asks for it, whatever became of the headers', async (t) => {
    const url = await started(t);
    const ask = async (body: unknown): Promise<string> =>
      (await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) })).text();
    const streamed = await ask({ model: MODEL, messages: [], stream: true, temperature: 0 });
    assert.equal(streamed.length, streamBytes({ events: 3, stepMs: 1 }));
    assert.match(await ask({ model: MODEL, messages: [], stream: false }), /"chat\.completion"/);
  });

  it('has as many token ids as the body is long', async (t) => {
    const url = await started(t);
    const tokensOf = async (bytes: number): Promise<number> => {
      const response = await fetch(`${url}/v1/chat/completions/render`, {
        method: 'POST',
        body: 'x'.repeat(bytes),
      });
      const answer: unknown = await response.json();
      assert.ok(typeof answer === 'object' && answer !== null && 'token_ids' in answer);
      assert.ok(Array.isArray(answer.token_ids));
      return answer.token_ids.length;
    };
    assert.equal(await tokensOf(2_048), 500);
    assert.equal(await tokensOf(220_000), 51_200);
  });

  it('is asked for a number of requests, block by block', async (t) => {
    const url = await started(t);
    const port = Number(new URL(url).port);
    const { cpuMs, errors } = await runCounted({
      kind: 'counted',
      target: { ports: [port], pid: undefined },
      body: 'small',
      connections: 4,
      blocks: 3,
      perBlock: 10,
    });
    assert.deepEqual([cpuMs.length, errors], [3, 0]);
  });

  it('keeps streams open until all are, however long that takes', async (t) => {
    const worker = cannedWorker(t);
    const port = Number(new URL(await worker.listen()).port);
    const { openAtOnce, completed, errors } = await runHold(
      {
        kind: 'hold',
        target: { ports: [port], pid: undefined },
        streams: 20,
        // By itself, a stream would be over before the next one opens.
        pace: { events: 2, stepMs: 1 },
        openPerSecond: 100,
      },
      [worker],
    );
    assert.deepEqual([openAtOnce, completed, errors], [20, 20, 0]);
  });

  function started(t: After): Promise<string> {
    return cannedWorker(t).listen();
  }

  function cannedWorker(t: After): CannedWorker {
    const worker = new CannedWorker();
    worker.pace = { events: 3, stepMs: 1 };
    t.after(() => {
      worker.close();
    });
    return worker;
  }
});

describe('the mark of a stream', () => {
  it('is found wherever a body is cut', () => {
    const body = Buffer.from('{"model":"m","stream":true,"messages":[]}');
    for (let first = 0; first <= body.length; first += 1) {
      for (let second = first; second <= body.length; second += 1) {
        const mark = new StreamMark();
        for (const [from, to] of [
          [0, first],
          [first, second],
          [second, body.length],
        ] as const)
          mark.push(body, from, to);
        assert.equal(mark.found, true, `cut at ${first} and ${second}`);
      }
    }
  });

  it('is not found behind the end of a body', () => {
    const mark = new StreamMark();
    mark.push(Buffer.from('{"stream":true}'), 0, 13);
    assert.equal(mark.found, false);
  });
});

describe('the CPU time of a target', { skip: process.platform !== 'linux' && 'only Linux has /proc' }, () => {
  it('includes that of processes it has started', async (t) => {
    const spin = `const until = process.cpuUsage().user + 200_000; while (process.cpuUsage().user < until); console.log('done'); process.stdin.resume()`;
    const parent = spawn(
      process.execPath,
      [
        '-e',
        `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(spin)}], { stdio: 'inherit' })`,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    t.after(async () => {
      parent.stdin.end();
      await once(parent, 'exit');
    });
    const { pid } = parent;
    assert.ok(pid !== undefined);
    const before = cpuTimes(pid);
    await once(parent.stdout, 'data');
    const own = spawnedBy(pid);
    assert.equal(own.length, 1);
    assert.ok(cpuMsBetween(before, cpuTimes(pid)) >= 200);
  });

  it('does not shrink when a thread ends', () => {
    const before = new Map([
      ['1', 10],
      ['2', 500],
    ]);
    assert.equal(
      cpuMsBetween(
        before,
        new Map([
          ['1', 15],
          ['3', 2],
        ]),
      ),
      7,
    );
  });

  function spawnedBy(pid: number): string[] {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
  }
});

function roundsOf(target: string, costs: readonly number[], errors = 0): Rounds {
  return {
    target,
    results: costs.map((cpuMs): Measured => ({
      windowMs: 1_000,
      requests: 100,
      events: 0,
      errors,
      problem: undefined,
      cpuMs,
      questions: 0,
      latency: undefined,
    })),
  };
}
