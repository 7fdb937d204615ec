/** A request thread that only knows workers: it does what it is told with the breaker of one of them, and says what it sees. */
import { parentPort, workerData } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import type { QuestionKind } from '../../src/base/channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { JoinedMemory, type Regions } from '../../src/base/thread-memory.ts';
import type { Permit, PermitEnd } from '../../src/workers/permit.ts';
import { LoadLedger } from '../../src/workers/ledger.ts';
import { openRegistry } from '../../src/workers/open-registry.ts';
import type { RegistrySettings } from '../../src/workers/roster.ts';

export interface RegistryTask {
  readonly regions: Regions;
  readonly rows: number;
  readonly self: number;
  readonly settings: RegistrySettings;
}

/** Asks for that many permits, keeps those that are admitted, and ends those that it has as told. Answers how many it has then. */
export const PERMITS: QuestionKind<{ readonly take: number; readonly end?: PermitEnd }, number> = {
  name: 'test_permits',
};
export const SEEN: QuestionKind<undefined, { readonly workers: readonly string[]; readonly state: string }> =
  {
    name: 'test_seen',
  };

// What the test has posted.
const task = workerData as RegistryTask | null;
if (parentPort && task) serve(new PortChannel(parentPort), task);

function serve(channel: PortChannel, { regions, rows, self, settings }: RegistryTask): void {
  const memory = new JoinedMemory(regions, { rows, self });
  const registry = openRegistry(
    { kind: 'request', memory, channel },
    { clock: systemClock, ledger: new LoadLedger(systemClock), ...settings },
  );
  const started = registry.start();
  const permits: Permit[] = [];
  channel.answer(PERMITS, async ({ take, end }) => {
    await started;
    const [worker] = registry.workers;
    for (let asked = 0; asked < take; asked++) {
      const now = systemClock.now();
      if (worker?.breaker.admits(now) !== true) continue;
      const permit = worker.breaker.permit(now);
      if (permit.admitted) permits.push(permit);
      else permit.cancel();
    }
    if (end) for (const permit of permits.splice(0)) permit[end]();
    return permits.length;
  });
  channel.answer(SEEN, async () => {
    await started;
    const [first] = registry.workers;
    return {
      workers: registry.workers.map(
        ({ id, health, models }) => `${id} ${health.healthy} ${[...models].join()}`,
      ),
      state: first?.breaker.state(systemClock.now()) ?? 'none',
    };
  });
}
