import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { CacheIndex } from '../cache-knowledge/cache-index.ts';
import type { BySource } from '../cache-knowledge/accuracy/by-model.ts';
import type { Proof } from '../cache-knowledge/accuracy/proof.ts';
import type { WorkerEventsView } from '../cache-knowledge/index-thread/event-watch.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import type { Config } from '../config/schema/schema.ts';
import type {
  PdStage,
  PolicySettings,
  Settings,
  StagePolicy,
  WorkerSpec,
} from '../config/settings/settings.ts';
import type { PeerView } from '../discovery/zmq/zmq-discovery.ts';
import type { Admittance } from '../doctor/admittance.ts';
import type { WorkerClient } from '../engines/client.ts';
import type { Inspection } from '../engines/http/worker-connections.ts';
import type { BodyBytes } from '../http/body.ts';
import type { Admission } from '../limits/admission.ts';
import type { Tenants } from '../limits/tenants.ts';
import type { Log } from '../observe/log.ts';
import type { Decision, DecisionQuery } from '../request/record/decision.ts';
import type { RedisLink } from '../redis/redis-link.ts';
import type { AnswersOf } from '../response-cache/answer-key.ts';
import type { Flushed } from '../response-cache/answer-store.ts';
import type { Policy } from '../routing/policy.ts';
import type { LocalVerdict } from '../tokenize/local/proven-tokenizers.ts';
import type { CoolDowns } from '../workers/cool-downs.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import type { KeptAnswers } from './stores-view.ts';
import type { LoadedConfig, ReloadOutcome, ReloadRequest } from './reload-report.ts';

/** The latest decision records, those of all threads. */
export interface DecisionRecords {
  /** Oldest first. */
  find(query: DecisionQuery): readonly Decision[] | Promise<readonly Decision[]>;
  readonly size: number;
  readonly bytes: number;
  readonly total: number;
}

/** The policies of new requests: the default one, and those of single models. */
export interface SwitchablePolicies {
  readonly settings: PolicySettings;
  /** False, and nothing changes, when that is the policy already: the default one, or the model's. */
  switchTo(settings: PolicySettings, model?: string): boolean;
  /** The model gets the policy back that it would have without `switchTo`. False when it had no other. */
  switchBack(model: string): boolean;
  /** The policy of one half of requests that are split; undefined: as configured. False, and nothing changes, when it is that already. */
  switchStage(stage: PdStage, settings: StagePolicy | undefined): boolean;
  /** What decides for that half, where the model has no policy of its own. */
  stageSettings(stage: PdStage): StagePolicy;
  /** Models whose policy was switched, whether a worker lists them or not. */
  readonly switched: { readonly size: number; has(model: string): boolean };
  policyFor(model: string): Policy;
  /** Models that have a policy of their own, and who said so. */
  own(): readonly { readonly model: string; readonly policy: string; readonly source: string }[];
  /** What is wrong with the policy that a worker's labels ask for, if anything. */
  noticesOf(worker: Worker): readonly string[];
  /** The same before there is a worker. */
  noticesOfLabels(labels: Readonly<Record<string, string>>): readonly string[];
  readonly index: CacheIndex | undefined;
}

/** A request that is only to be talked about; headers are a flat list of names and values. */
export interface ExplainRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** Whose request it is; undefined where nobody's limits matter. */
  readonly tenant: string | undefined;
  readonly policy: PolicySettings | undefined;
}

/** What the worker and admin routes look at and act on. The request path is not among it: it is handed in as functions. */
export interface AdminDeps {
  /** With request threads, theirs are served, too. */
  readonly part: ThreadPart;
  /** Threads that serve requests. */
  readonly threads: () => { readonly configured: number; readonly serving: number };
  /** Whether what is known of a worker's cache is true. */
  readonly proofOf: (worker: Worker) => Proof | undefined;
  /** The same by model. */
  readonly proofByModel: () => ReadonlyMap<string, BySource>;
  /** Those in force: ask anew each time, since a reload replaces them. */
  readonly settings: Settings;
  /** As given and validated, for showing it. */
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: WorkerRegistry;
  readonly coolDowns: CoolDowns;
  readonly ledger: LoadLedger;
  readonly admission: Pick<Admission, 'inFlight' | 'queued' | 'queuedOf' | 'flowCount' | 'flows'>;
  readonly tenants: Pick<Tenants, 'all' | 'named'>;
  readonly bodyBytes: BodyBytes;
  readonly decisions: DecisionRecords;
  readonly policies: SwitchablePolicies;
  /** The policies that plugins bring. */
  readonly plugins: KnownPlugins;
  readonly clientOf: (worker: Worker) => WorkerClient;
  readonly versionOf: (worker: Worker) => string | undefined;
  /** How the tokenizers of the router compare with the worker's. */
  readonly tokenizersOf: (worker: Worker) => readonly LocalVerdict[];
  /** What is known of the worker's cache events. */
  readonly eventsOf: (worker: Worker) => WorkerEventsView | undefined;
  /** How the worker registers itself, if it does. */
  readonly peerOf: (worker: Worker) => PeerView | undefined;
  readonly inspect: (spec: WorkerSpec) => Promise<Inspection>;
  readonly examine: (specs: readonly WorkerSpec[], signal: AbortSignal) => Promise<Admittance>;
  readonly onInspected: (spec: WorkerSpec, inspection: Inspection) => void;
  /** What would be done with a request, as a JSON object. */
  readonly explain: (request: ExplainRequest) => object | Promise<object>;
  /** Forgets stored answers, those of a model or tenant where one is named. */
  readonly flushAnswers: (whose: AnswersOf) => Promise<Flushed>;
  readonly keptAnswers: () => KeptAnswers;
  readonly redisLinks: () => readonly RedisLink[];
  /** Reads the configuration again and puts it in force. */
  readonly reload: (request: ReloadRequest) => Promise<ReloadOutcome>;
  readonly loaded: () => LoadedConfig;
  /** Routes outside of here that the router answers by itself, for the description of its API. */
  readonly localRoutes: readonly string[];
}
