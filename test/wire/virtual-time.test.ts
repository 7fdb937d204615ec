/** What virtual time says of a small workload is what the simulated HTTP workers do behind a real router. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parseContenders } from '../../src/simulate/study/contenders.ts';
import { Simulation } from '../../src/simulate/fleet/simulation.ts';
import { MODEL_DEFAULTS } from '../../src/sim/engine/model-settings.ts';
import type { Trace } from '../../src/simulate/traces/trace.ts';
import { blocksFromHashIds } from '../../src/routing/hash-ids.ts';
import { pieces, post } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';

const REQUESTS = 30;
const GAP_MS = 100;
const PREFIXES = 5;
const BLOCK = MODEL_DEFAULTS.blockSize;

interface Planned {
  readonly prompt: readonly number[];
  readonly output: number;
}

/** Half of each prompt is shared with every fifth one, so that with two workers a prefix comes back after a second. */
const PLAN: readonly Planned[] = Array.from({ length: REQUESTS }, (_, place) => {
  const tokens = 800 + 160 * (place % 4);
  const prefix = place % PREFIXES;
  const prompt = Array.from({ length: tokens }, (_, at) =>
    at < 400 ? 1000 * prefix + at + 10 : 100_000 + 5000 * place + at,
  );
  return { prompt, output: 10 + (place % 3) * 10 };
});

interface Seen {
  readonly meanTtftMs: number;
  readonly meanE2eMs: number;
  readonly hitTokens: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

function inVirtualTime(): Seen {
  const contenders = parseContenders(['round_robin']);
  const [contender] = typeof contenders === 'string' ? [] : contenders;
  assert.ok(contender);
  const requests = PLAN.map(({ prompt, output }, place) => {
    const ids = Array.from(
      { length: Math.floor(prompt.length / BLOCK) },
      (_, index) => prompt[index * BLOCK] ?? 0,
    );
    const blocks = blocksFromHashIds(ids, BLOCK, prompt.length);
    return {
      at: place * GAP_MS,
      promptTokens: prompt.length,
      outputTokens: output,
      blocks,
      session: undefined,
    };
  });
  const trace: Trace = { name: 'small', requests, blockSize: BLOCK };
  const { outcomes } = new Simulation(trace, {
    workers: [{ settings: MODEL_DEFAULTS }, { settings: MODEL_DEFAULTS }],
    policy: contender.policy,
    cache: { source: 'exact' },
    ...{ routers: 1, pollIntervalMs: 0, pollDelayMs: 0, slowStartMs: 0, speed: 1, seed: 1 },
  }).run();
  return {
    meanTtftMs: mean([...outcomes.ttftMs]),
    meanE2eMs: mean([...outcomes.e2eMs]),
    hitTokens: outcomes.cachedTokens.reduce((sum, one) => sum + one, 0),
  };
}

async function ask(fleet: Fleet, { prompt, output }: Planned): Promise<{ ttftMs: number; e2eMs: number }> {
  const begun = performance.now();
  const body = { model: 'sim-model', prompt, max_tokens: output, ignore_eos: true, stream: true };
  const response = await post(fleet, '/v1/completions', body);
  assert.equal(response.status, 200);
  let ttftMs = NaN;
  for await (const piece of pieces(response))
    if (Number.isNaN(ttftMs) && piece.includes('data:')) ttftMs = performance.now() - begun;
  return { ttftMs, e2eMs: performance.now() - begun };
}

async function inRealTime(): Promise<Seen> {
  await using fleet = await startFleet({
    workers: [{ timeScale: 1 }, { timeScale: 1 }],
    router: { policy: 'round_robin' },
  });
  // Connections are made and code is warm before the clock starts.
  for (const at of [1, 2]) await ask(fleet, { prompt: [at], output: 1 });
  const begun = performance.now();
  const answers = await Promise.all(
    PLAN.map(async (planned, place) => {
      await pause(begun + place * GAP_MS - performance.now());
      return ask(fleet, planned);
    }),
  );
  return {
    meanTtftMs: mean(answers.map(({ ttftMs }) => ttftMs)),
    meanE2eMs: mean(answers.map(({ e2eMs }) => e2eMs)),
    hitTokens: fleet.workers.reduce((sum, { model }) => sum + model.stats.prefixCacheHits, 0),
  };
}

it('virtual time agrees with the simulated workers in real time: same hits, alike latencies', async (t) => {
  const [virtual, real] = [inVirtualTime(), await inRealTime()];
  t.diagnostic(JSON.stringify({ virtual, real }));
  assert.ok(virtual.hitTokens > 5000);
  assert.equal(real.hitTokens, virtual.hitTokens);
  for (const key of ['meanTtftMs', 'meanE2eMs'] as const) {
    // Real time adds the network, the router and a busy machine; it never is faster, but for a timer's rounding.
    assert.ok(real[key] > 0.9 * virtual[key], `${key}: ${real[key]} and ${virtual[key]}`);
    assert.ok(real[key] < 1.5 * virtual[key] + 50, `${key}: ${real[key]} and ${virtual[key]}`);
  }
});
