import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { Settings, WorkerSpec } from '../config/settings/settings.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import { examine, type Examination, type ExamineOptions } from './examine.ts';
import { expectedOf } from './expected.ts';
import { Patient } from './patient.ts';

export interface DoctorDeps {
  readonly settings: Pick<
    Settings,
    'health' | 'policy' | 'modelPolicies' | 'timeouts' | 'listen' | 'workerTls' | 'adminApiKey'
  >;
  readonly clock: Clock;
  readonly random: Random;
  readonly sockets?: OutboundSockets;
  /** Longest time for one check. */
  readonly timeoutMs: number;
}

/** Examines a worker that may never be registered: on connections of its own. */
export async function examineWorker(
  spec: WorkerSpec,
  { settings, clock, random, sockets = new OutboundSockets(), timeoutMs }: DoctorDeps,
  options: ExamineOptions = {},
): Promise<Examination> {
  const { timeouts, listen, workerTls } = settings;
  const pool = {
    connectMs: timeouts.connectMs,
    maxHeaderSize: listen.maxHeaderSize,
    tls: workerTls.get(spec.baseUrl),
  };
  const client = new HttpWorkerClient(spec, pool, { clock, sockets });
  try {
    const expected = expectedOf(settings);
    return await examine(new Patient({ spec, client, expected, clock, random, timeoutMs }), options);
  } finally {
    client.close();
  }
}
