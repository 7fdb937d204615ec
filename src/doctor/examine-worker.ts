import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Settings, WorkerSpec } from '../config/settings/settings.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import type { Peer } from '../engines/prefill-decode/connector.ts';
import { askBootstrap } from '../engines/prefill-decode/mooncake-bootstrap.ts';
import { examine, type Examination, type ExamineOptions } from './examine.ts';
import { expectedOf } from './expected.ts';
import { LmcacheController } from './lmcache-controller.ts';
import { Patient, type PatientDeps } from './patient.ts';
import type { Turns } from './turns.ts';

export interface DoctorDeps {
  readonly settings: Pick<
    Settings,
    | 'health'
    | 'policy'
    | 'modelPolicies'
    | 'tokens'
    | 'lmcache'
    | 'kvEvents'
    | 'pd'
    | 'timeouts'
    | 'listen'
    | 'workerTls'
    | 'adminApiKey'
  >;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets?: OutboundSockets;
  readonly text: PatientDeps['text'];
  readonly fleet: readonly WorkerSpec[];
  readonly turns: Turns;
  /** Longest time for one check. */
  readonly timeoutMs: number;
  /** Whether what is expected is of a router on another machine, perhaps, where paths lead elsewhere. */
  readonly isElsewhere?: boolean;
}

/** Examines a worker that may never be registered: on connections of its own. */
export async function examineWorker(
  spec: WorkerSpec,
  {
    settings,
    clock,
    random,
    text,
    fleet,
    turns,
    sockets = new OutboundSockets(),
    timeoutMs,
    isElsewhere,
  }: DoctorDeps,
  options: ExamineOptions = {},
): Promise<Examination> {
  const { timeouts, listen, workerTls } = settings;
  const pool = { connectMs: timeouts.connectMs, maxHeaderSize: listen.maxHeaderSize };
  const open = (one: WorkerSpec): HttpWorkerClient =>
    new HttpWorkerClient(one, { ...pool, tls: workerTls.get(one.baseUrl) }, { clock, sockets });
  const client = open(spec);
  const asking = { open, askBootstrap: (worker: Peer) => askBootstrap(worker, pool, { clock, sockets }) };
  const lmcache = (): LmcacheController =>
    new LmcacheController(
      settings.lmcache,
      new HttpWorkerClient({ baseUrl: settings.lmcache.base }, pool, { clock, sockets, peer: 'controller' }),
      clock,
    );
  try {
    const expected = expectedOf(settings, isElsewhere);
    return await examine(
      new Patient({
        spec,
        client,
        expected,
        clock,
        random,
        text,
        fleet,
        lmcache,
        timeoutMs,
        turns,
        ...asking,
      }),
      options,
    );
  } finally {
    client.close();
  }
}
