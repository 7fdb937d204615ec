import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { seededRandom } from '../../base/random.ts';
import { BASELINES } from '../baselines/index.ts';
import type { FleetPlan } from '../fleet/fleet-plan.ts';
import { Simulation } from '../fleet/simulation.ts';
import { MODEL_DEFAULTS, type ModelSettings } from '../../sim/engine/model-settings.ts';
import { generateTrace } from '../traces/generators.ts';
import { fitModel, type ServedRequest } from './fit-model.ts';

type Speed = Pick<ModelSettings, 'prefillTokensPerSecond' | 'decodeBaseMs' | 'decodePerRequestMs'>;

/** What a log of a simulated fleet says of its requests. */
function served(speeds: readonly Speed[], ratePerSecond: number, seed: number): ServedRequest[] {
  const trace = generateTrace('poisson_chats', { requests: 1500, ratePerSecond, seed });
  const plan: FleetPlan = {
    workers: speeds.map((speed) => ({
      settings: {
        ...MODEL_DEFAULTS,
        ...speed,
        blockSize: trace.blockSize,
        blocks: 32_768,
        maxModelLen: 65_536,
      },
    })),
    policy: (deps) => BASELINES.least_requests(deps),
    cache: { source: 'predicted', maxBlocksPerWorker: 32_768 },
    routers: 1,
    pollIntervalMs: 0,
    pollDelayMs: 0,
    slowStartMs: 0,
    speed: 1,
    seed,
  };
  const { outcomes } = new Simulation(trace, plan).run();
  return trace.requests.map(({ at, promptTokens, outputTokens }, place) => ({
    worker: outcomes.worker[place] ?? 0,
    at,
    ttftMs: outcomes.ttftMs[place] ?? 0,
    e2eMs: outcomes.e2eMs[place] ?? 0,
    uncachedTokens: promptTokens - (outcomes.cachedTokens[place] ?? 0),
    outputTokens,
  }));
}

function near(actual: number | undefined, expected: number, share: number, what: string): void {
  const error = Math.abs((actual ?? NaN) - expected) / expected;
  assert.ok(error <= share, `${what}: ${String(actual)} instead of ${String(expected)}`);
}

test('finds the speed of every worker of a simulated fleet again', () => {
  const speed = fc.record({
    prefillTokensPerSecond: fc.double({ min: 6000, max: 20_000, noNaN: true }),
    decodeBaseMs: fc.double({ min: 4, max: 20, noNaN: true }),
    decodePerRequestMs: fc.double({ min: 0.2, max: 0.6, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(speed, { minLength: 2, maxLength: 3 }), fc.nat(1000), (speeds, seed) => {
      const fit = fitModel(served(speeds, speeds.length, seed), speeds.length);
      for (const [worker, { prefillTokensPerSecond, decodeBaseMs, decodePerRequestMs }] of speeds.entries()) {
        const found = fit?.perWorker[worker];
        near(found?.prefillTokensPerSecond, prefillTokensPerSecond, 0.1, 'prefill rate');
        // What a step takes with a usual batch; alone its two parts are told apart less well.
        const step = (model: Speed | undefined): number =>
          (model?.decodeBaseMs ?? NaN) + 8 * (model?.decodePerRequestMs ?? NaN);
        near(step(found), decodeBaseMs + 8 * decodePerRequestMs, 0.1, 'step');
        near(found?.decodeBaseMs, decodeBaseMs, 0.15, 'decode base');
        assert.ok((found?.decode.medianError ?? 1) < 0.1 && (found?.prefill.medianError ?? 1) < 0.2);
      }
    }),
    { numRuns: 8, seed: 7, endOnFailure: true },
  );
});

test('one request in ten whose stream stood still for half a minute changes little', () => {
  const speed = { prefillTokensPerSecond: 8000, decodeBaseMs: 6, decodePerRequestMs: 0.35 };
  const random = seededRandom(1);
  const disturbed = served([speed], 1.5, 1).map((request) =>
    random() < 0.1 ? { ...request, e2eMs: request.e2eMs + 30_000 } : request,
  );
  const found = fitModel(disturbed, 1)?.pooled;
  near(found?.prefillTokensPerSecond, 8000, 0.06, 'prefill rate');
  near((found?.decodeBaseMs ?? 0) + 4 * (found?.decodePerRequestMs ?? 0), 7.4, 0.06, 'step');
});

test('too few requests say nothing', () => {
  const some = served([{ prefillTokensPerSecond: 8000, decodeBaseMs: 6, decodePerRequestMs: 0.35 }], 1, 1);
  assert.equal(fitModel(some.slice(0, 20), 1), undefined);
  assert.equal(fitModel([], 3), undefined);
});
