import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SimWorker } from '../../src/sim/server/server.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet, type FleetOptions } from '../support/fleet.ts';

const PAIR: FleetOptions['workers'] = [{ role: 'prefill' }, { role: 'decode' }];

function profiling({ seen }: SimWorker): readonly string[] {
  return seen.flatMap(({ url }) => (url.endsWith('_profile') ? [url] : []));
}

describe('the profiles of a pair', () => {
  it('begin before what either worker is sent, and end behind it, once for requests that overlap', async () => {
    await using fleet = await startFleet({
      workers: PAIR,
      router: { pd: { split: 'always', profile: true } },
      oneThread: 'each thread begins a profile of its own',
    });
    const [[prefill], [decode]] = [fleet.prefills, fleet.workers];
    assert.ok(prefill && decode);
    await Promise.all([1, 2].map(async () => (await chat(fleet)).text()));
    for (const worker of [prefill, decode]) {
      await eventually(() => profiling(worker).at(-1) === '/stop_profile');
      const paths = worker.seen.filter(({ method }) => method === 'POST').map(({ url }) => url);
      assert.equal(paths[0], '/start_profile');
      const begun = profiling(worker).filter((path) => path === '/start_profile').length;
      assert.equal(profiling(worker).length, 2 * begun);
    }
    assert.equal(fleet.app.runtime.profiles.size, 0);
  });

  it('that cannot be had keep nobody from an answer, and are counted', async () => {
    await using fleet = await startFleet({
      workers: [{ role: 'prefill', devMode: false }, { role: 'decode' }],
      router: { pd: { split: 'always', profile: true } },
      oneThread: 'it looks at what that one counts',
    });
    const response = await chat(fleet);
    assert.equal(response.status, 200);
    await response.text();
    const errors = fleet.app.runtime.metrics.pdProfileErrorsTotal.with(fleet.prefills[0]?.url ?? '');
    await eventually(() => errors.value === 2);
  });

  it('are left alone where nobody asks for them', async () => {
    await using fleet = await startFleet({ workers: PAIR, router: { pd: { split: 'always' } } });
    await (await chat(fleet)).text();
    for (const worker of [...fleet.prefills, ...fleet.workers]) assert.deepEqual(profiling(worker), []);
  });
});
