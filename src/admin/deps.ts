import type { Clock } from '../base/clock.ts';
import type { PredictedIndex } from '../cache-knowledge/predicted-index.ts';
import type { Config } from '../config/schema.ts';
import type { PolicySettings, Settings, WorkerSpec } from '../config/settings.ts';
import type { WorkerClient } from '../engines/client.ts';
import type { Inspection } from '../engines/http/worker-connections.ts';
import type { BodyBytes } from '../http/body.ts';
import type { Admission } from '../limits/admission.ts';
import type { Log } from '../observe/log.ts';
import type { Decision } from '../request/decision.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';

/** The latest decision records. */
export interface DecisionRecords {
  latest(limit: number): readonly Decision[];
  readonly size: number;
  readonly bytes: number;
  readonly total: number;
}

/** The policy of new requests. */
export interface SwitchablePolicy {
  readonly settings: PolicySettings;
  /** False, and nothing changes, when that is the policy already. */
  switchTo(settings: PolicySettings): boolean;
  readonly index: PredictedIndex | undefined;
}

/** A request that is only to be talked about; headers are a flat list of names and values. */
export interface ExplainRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly policy: PolicySettings | undefined;
}

/** What the worker and admin routes look at and act on. The request path is not among it: it is handed in as functions. */
export interface AdminDeps {
  readonly settings: Settings;
  /** As given and validated, for showing it. */
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly admission: Pick<Admission, 'inFlight' | 'queued'>;
  readonly bodyBytes: BodyBytes;
  readonly decisions: DecisionRecords;
  readonly policy: SwitchablePolicy;
  readonly clientOf: (worker: Worker) => WorkerClient;
  readonly versionOf: (worker: Worker) => string | undefined;
  readonly inspect: (spec: WorkerSpec) => Promise<Inspection>;
  readonly onInspected: (spec: WorkerSpec, inspection: Inspection) => void;
  /** What would be done with a request, as a JSON object. */
  readonly explain: (request: ExplainRequest) => object;
  /** Routes outside of here that the router answers by itself, for the description of its API. */
  readonly localRoutes: readonly string[];
}
