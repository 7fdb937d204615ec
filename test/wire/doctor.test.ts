import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { examined, runDoctor } from '../support/doctor.ts';
import { startFleet } from '../support/fleet.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

async function withSim(options: SimOptions, work: (url: string) => Promise<void>): Promise<void> {
  const worker = await startSimWorker({ timeScale: 0, ...options });
  try {
    await work(worker.url);
  } finally {
    await worker.stop();
  }
}

/** Checks whose findings stand for nothing that this set-up lacks. */
function failing(checks: readonly { readonly check: string; readonly mark: string }[]): string[] {
  return checks.filter(({ mark }) => mark === 'fail').map(({ check }) => check);
}

describe('vllm-router doctor', () => {
  it('finds nothing wrong with workers that are well, and says what the probes cost', () =>
    withSim({}, (one) =>
      withSim({}, async (two) => {
        const { code, report, said } = await examined('--worker-urls', one, two);
        assert.equal(code, 0);
        assert.deepEqual(
          report.workers.map(({ worker, healthy }) => [worker, healthy]),
          [
            [one, true],
            [two, true],
          ],
        );
        assert.match(said('limits'), /^ok: up to 131,072 tokens/);
        assert.match(said('prefix_caching'), /^ok: the second time 32 of 33 tokens came from the cache/);
        for (const { cost } of report.workers) {
          assert.ok(cost.requests >= 2 && cost.prompt_tokens >= 66, JSON.stringify(cost));
          assert.ok(cost.prompt_tokens < 1000, JSON.stringify(cost));
          assert.equal(cost.completion_tokens, cost.requests);
        }
      }),
    ));

  it('says so where nothing listens, and looks no further there', async () => {
    await withSim({}, async (well) => {
      const { code, report } = await examined('--worker-urls', well, 'http://127.0.0.1:1');
      assert.equal(code, 1);
      assert.equal(report.healthy, false);
      const [first, second] = report.workers;
      assert.equal(first?.healthy, true);
      assert.deepEqual(failing(second?.checks ?? []), ['reachable']);
      assert.ok(second?.checks.slice(1).every(({ mark }) => mark === 'skipped'));
    });
  });

  it('tells a key that is wanted, refused, or not needed', () =>
    withSim({ apiKeys: ['right'] }, async (url) => {
      const none = await examined('--worker-urls', url);
      assert.match(none.said('key'), /^fail: it wants a key \(status 401\)/);
      assert.equal(none.code, 1);
      const wrong = await examined('--worker-urls', url, '--api-key', 'wrong');
      assert.match(wrong.said('key'), /^fail: the configured key is refused/);
      const right = await examined('--worker-urls', url, '--api-key', 'right');
      assert.match(right.said('key'), /^ok: the configured key is accepted, and needed/);
      assert.equal(right.code, 0);
      await withSim({}, async (open) => {
        const { said } = await examined('--worker-urls', open, '--api-key', 'right');
        assert.match(said('key'), /^warn: the configured key is accepted, but so is none/);
      });
    }));

  it('holds a worker against the model that is configured for it', () =>
    withSim({ models: ['served'] }, async (url) => {
      const directory = await mkdtemp(join(tmpdir(), 'doctor-'));
      try {
        const file = join(directory, 'router.yaml');
        await writeFile(file, `workers:\n  - url: ${url}\n    model_id: wanted\n`);
        const { code, said } = await examined('--config-file', file);
        assert.equal(code, 1);
        assert.equal(said('models'), 'fail: it lists served, not the configured wanted');
        assert.equal(said('prefix_caching'), 'skipped: needs models');
      } finally {
        await rm(directory, { recursive: true });
      }
    }));

  it('finds a prefix cache that is off', () =>
    withSim({ model: { prefixCaching: false } }, async (url) => {
      const { code, said } = await examined('--worker-urls', url);
      assert.equal(code, 1);
      assert.match(said('prefix_caching'), /^fail: .*0 of 33 tokens came from the cache/);
    }));

  it('warns of a worker that does not report cached tokens', () =>
    withSim({ promptTokensDetails: false }, async (url) => {
      const { code, said, worker } = await examined('--worker-urls', url);
      assert.equal(code, 0);
      assert.match(said('prefix_caching'), /^warn: the answer does not say/);
      const remedy = worker.checks.find(({ check }) => check === 'prefix_caching')?.remedy;
      assert.match(remedy ?? '', /--enable-prompt-tokens-details/);
    }));

  it('waits for nobody longer than the time for a check', () =>
    withSim({ faults: ['hang:path=/v1/completions'] }, async (url) => {
      const { code, said } = await examined('--worker-urls', url, '--check-timeout-secs', '0.3');
      assert.equal(code, 1);
      assert.match(said('prefix_caching'), /^fail: no result within 0.3 s/);
      assert.match(said('load'), /^ok/);
    }));

  it('survives answers that are garbage, huge or wrong', async () => {
    await withSim({ faults: ['garbage:path=/v1/models'] }, async (url) => {
      assert.match((await examined('--worker-urls', url)).said('key'), /^fail: \/v1\/models does not answer/);
    });
    await using worker = await startScriptedWorker((response, { url }) => {
      if (url === '/metrics') response.writeHead(200).end(Buffer.alloc(9 * 1024 * 1024, 'x'));
      else if (url === '/tokenize') response.writeHead(200).end('{"tokens":[1,"two",null]}');
      else response.writeHead(200).end('{"usage":{"prompt_tokens":-1}}');
    });
    const { code, said } = await examined('--worker-urls', worker.url);
    assert.equal(code, 1);
    assert.match(said('load'), /^warn: \/metrics does not answer: too_large/);
    assert.match(said('prefix_caching'), /^fail: .*an answer without usage/);
  });

  it('prints nothing that a terminal would obey', async () => {
    await using worker = await startScriptedWorker(undefined, {
      models: ['\u001b[31mred\u202e'],
      version: `1\u0007${'9'.repeat(1000)}`,
    });
    const { out } = await runDoctor('--worker-urls', worker.url);
    assert.match(out, /serves \[31mred$/m);
    assert.doesNotMatch(out.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u);
    assert.ok(out.split('\n').every(({ length }) => length < 400));
  });

  it('notices a clock that is wrong', async () => {
    await using worker = await startScriptedWorker((response) => response.writeHead(404).end(), {
      date: 'Mon, 30 Nov 2020 01:52:20 GMT',
    });
    const { said } = await examined('--worker-urls', worker.url);
    assert.match(said('clock'), /^warn: its clock is \d+ s behind/);
  });

  it('refuses what it does not know', async () => {
    assert.equal((await runDoctor()).code, 2);
    const typo = await runDoctor('--worker-url', 'http://127.0.0.1:1');
    assert.equal(typo.code, 2);
    assert.match(typo.err, /^vllm-router doctor: /);
    assert.equal((await runDoctor('--check-timeout-secs', 'soon')).code, 2);
    const help = await runDoctor('--help');
    assert.equal(help.code, 0);
    assert.match(help.out, /^Usage: vllm-router doctor/);
  });
});

describe('vllm-router doctor, given a running router', () => {
  it('examines the workers that it has, and says what it thinks of them', async () => {
    await using fleet = await startFleet({ workers: [{}, {}] });
    const { code, report, said } = await examined(fleet.url);
    assert.equal(code, 0);
    assert.equal(report.router, fleet.url);
    assert.deepEqual(
      report.workers.map(({ worker }) => worker),
      fleet.all.map(({ url }) => url),
    );
    assert.match(said('router'), /^ok: healthy, its circuit is closed/);
    assert.match(said('prefix_caching'), /^ok/);
  });

  it('says what the router has found out of its cache', async () => {
    const verdicts = [
      ['ok', 'ok: 12 answers'],
      ['unknown', 'skipped: 12 answers'],
      ['cache_thrashing', 'warn: cache_thrashing: 12 answers'],
      ['template_differs', 'fail: template_differs: 12 answers'],
    ] as const;
    const workers = verdicts.map(([verdict], index) => ({
      id: `http://127.0.0.1:1@${String(index)}`,
      ...{ is_healthy: true, circuit_breaker: 'closed', draining: false, requests_sent: 12 },
      cache_proof: { verdict, finding: '12 answers', remedy: 'Look.' },
    }));
    await using router = await startScriptedWorker((response) =>
      response.writeHead(200).end(JSON.stringify({ workers })),
    );
    const { report } = await examined(router.url);
    assert.deepEqual(
      report.workers.map(({ checks }) => {
        const proof = checks.find(({ check }) => check === 'proof');
        return `${proof?.mark ?? ''}: ${proof?.finding ?? ''}`;
      }),
      verdicts.map(([, said]) => said),
    );
  });

  it('needs its admin key where there is one', async () => {
    await using fleet = await startFleet({ workers: [{}], router: { adminApiKey: 'secret' } });
    const refused = await runDoctor(fleet.url);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /status 40[13]: give its admin key/);
    assert.equal((await examined(fleet.url, '--admin-api-key', 'secret')).code, 0);
  });

  it('says so where it is none', () =>
    withSim({}, async (url) => {
      const { code, err } = await runDoctor(url);
      assert.equal(code, 1);
      assert.match(err, /GET \/workers: status 404/);
      assert.match((await runDoctor('router:30000')).err, /did you mean http:\/\/router:30000/);
    }));
});
