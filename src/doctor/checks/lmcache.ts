import { InstanceMap } from '../../cache-knowledge/lmcache/instance-map.ts';
import type { Check } from '../check.ts';
import { fail, ok, quote, quoteAll, skipped, warn, type Finding } from '../finding.ts';
import type { LmcacheController, Listed } from '../lmcache-controller.ts';
import type { Patient } from '../patient.ts';
import { compute, probeOf } from '../probe-prompt.ts';

/** Between two questions whether the engine has stored its probe by now. */
const PAUSE_MS = 200;
/** It stores behind the answer. */
const LATE_MS = 5_000;

/** Has a chunk computed, and asks LMCache's controller who stores it: this worker must be among them. */
export const lmcache: Check = {
  name: 'lmcache',
  about: "LMCache's controller knows the worker, and that it stores what it has computed.",
  needs: ['models'],
  computes: true,
  async run(patient, signal) {
    if (!patient.expected.lmcache) return skipped('no controller of LMCache is configured');
    const controller = patient.lmcache();
    try {
      const listed = await controller.list();
      return known(patient, listed) ?? (await stored(patient, controller, listed, signal));
    } finally {
      controller.close();
    }
  },
};

/** What is wrong with the controller, or with what it knows of the worker. */
function known({ expected, spec, fleet }: Patient, { outcome, message, state }: Listed): Finding | undefined {
  const settings = expected.lmcache;
  if (!settings || outcome === 'timeout' || outcome === 'error')
    return fail(
      `the controller at ${quote(settings?.base ?? '')} ${quote(message)}`,
      'See that lmcache.controller_url is right, and that the controller runs and may be reached from here.',
    );
  // The oldest controllers have no list: then only the lookup tells.
  if (outcome === 'unlisted') return undefined;
  const workers = fleet.map((one) => ({ id: one.id, spec: one, traits: one.traits }));
  const { instances, api } = state;
  const map = new InstanceMap({ instances, workers, configured: settings.workerMap, api });
  if (instances.some(({ id }) => map.workersOf(id).some(({ spec: one }) => one.id === spec.id)))
    return undefined;
  const names = instances.length === 0 ? 'none at all' : quoteAll(instances.map(({ id }) => id));
  return fail(
    `none of the controller's instances is this worker: it knows ${names}`,
    'Name the instance of the worker in lmcache.worker_map or in its label lmcache_instance_id, and see that its engine is connected to the controller.',
  );
}

async function stored(
  patient: Patient,
  controller: LmcacheController,
  { state, outcome }: Listed,
  signal: AbortSignal,
): Promise<Finding> {
  const { chart, expected, clock, fleet, spec } = patient;
  const tokens = (expected.lmcache?.chunkSize ?? 0) + 1;
  const made = await probeOf(patient, tokens, signal);
  if (!made?.ids) return skipped('without /tokenize nobody knows which tokens the probe has');
  const computed = await compute(patient, made.prompt, signal);
  if (typeof computed === 'string') return skipped(`the probe was not computed: ${computed}`);
  const prompt = { ids: Uint32Array.from(made.ids), model: chart.model ?? '', salt: '' };
  const until = clock.now() + LATE_MS;
  const workers = fleet.map((one) => ({ id: one.id, spec: one, traits: one.traits }));
  const configured = expected.lmcache?.workerMap ?? new Map<string, string>();
  const map = new InstanceMap({ ...state, workers, configured });
  for (;;) {
    const holdings = await controller.lookUp(state.api ?? 'controller', prompt, signal);
    if (typeof holdings === 'string')
      return fail(
        `the controller does not look up: ${quote(holdings)}`,
        'See whether lmcache.controller_api names the kind of controller that it is.',
      );
    const own = holdings.find(({ instance }) =>
      map.workersOf(instance).some(({ spec: one }) => one.id === spec.id),
    );
    if (own) return ok(`instance ${quote(own.instance)} stores ${String(own.tokens)} tokens of the probe`);
    if (clock.now() >= until || signal.aborted)
      return unstored(
        holdings.map(({ instance }) => instance),
        outcome,
      );
    await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
  }
}

function unstored(instances: readonly string[], outcome: Listed['outcome']): Finding {
  if (instances.length > 0)
    return fail(
      `the probe is stored by ${quoteAll(instances)}, which is not taken for this worker`,
      'Name the instance of the worker in lmcache.worker_map or in its label lmcache_instance_id.',
    );
  return warn(
    `the controller does not know within ${String(LATE_MS / 1000)} s who stores the probe`,
    outcome === 'unlisted'
      ? 'See that the engine runs with LMCache and is connected to this controller; an old controller cannot list who is.'
      : 'See that lmcache.chunk_size is that of LMCache, and that the engine stores what it computes.',
  );
}
