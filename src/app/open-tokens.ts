import { extname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { TokenSettings } from '../config/settings/exact-tokens.ts';
import type { StoreSettings } from '../config/settings/redis-settings.ts';
import type { Settings } from '../config/settings/settings.ts';
import { collect } from '../engines/collect.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import type { WorkerConnections } from '../engines/http/worker-connections.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { ExactTokens } from '../tokenize/exact-tokens.ts';
import { ProvenTokenizers, type LocalVerdict } from '../tokenize/local/proven-tokenizers.ts';
import { TextJobs } from '../tokenize/local/text-jobs.ts';
import { tokenizerPathFor } from '../tokenize/local/tokenizer-path.ts';
import { answerThreads, TokensOfThread } from '../tokenize/threads-tokens.ts';
import { MOST_TOKEN_BYTES, SharedTokens } from '../tokenize/shared-tokens.ts';
import type { TokenSource } from '../tokenize/tokens.ts';
import { WorkerTokenizers, type WorkerTokenizersDeps } from '../tokenize/worker-tokenizers.ts';
import type { Roster } from '../workers/roster.ts';
import type { Worker } from '../workers/worker.ts';
import { MadeFrom } from './made-from.ts';
import type { Stores } from './open-stores.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Roster;
  readonly connections: WorkerConnections;
  readonly stores: Stores;
  /** Those in force. */
  readonly settings: () => Settings;
}

/** Where this thread gets the tokens of prompts from. */
export interface OpenTokens {
  readonly source: TokenSource;
  /** How the tokenizers that are configured for the models of a worker compare with its own. */
  verdictsOf(worker: Worker): readonly LocalVerdict[];
  reconfigure(settings: TokenSettings): void;
  close(): Promise<void>;
}

/** Whoever is in control does the work, so that the cache is one, and so is the count of what a worker is asked. */
export function openTokens(parts: Parts): OpenTokens {
  const { part, clock, settings } = parts;
  if (part.kind !== 'request') return new OwnTokens(parts);
  return {
    source: new TokensOfThread(part.channel, clock, () => settings().tokens.timeoutMs),
    verdictsOf: () => [],
    reconfigure: () => undefined,
    close: () => Promise.resolve(),
  };
}

/** Of what the process may have, MiB: a vocabulary of a quarter of a million takes some 300. */
const TEXT_HEAP_MB = 2_048;
const TEXT_THREAD = new URL(`../tokenize/local/text-thread${extname(import.meta.url)}`, import.meta.url);

class OwnTokens implements OpenTokens {
  readonly source: ExactTokens<Worker>;
  readonly #parts: Parts;
  readonly #tokenizers: WorkerTokenizers<Worker>;
  readonly #locals: ProvenTokenizers<Worker>;
  readonly #shared: MadeFrom<SharedFrom, SharedTokens>;
  /** Begun when a tokenizer is configured for the first time. */
  #jobs: TextJobs | undefined;

  constructor(parts: Parts) {
    const { part, clock, log, metrics, registry, connections, settings } = parts;
    this.#parts = parts;
    const tokenizers = new WorkerTokenizers({ clock, ask: askWith(connections, clock) });
    this.#tokenizers = tokenizers;
    this.#locals = new ProvenTokenizers({
      ...{ clock, log, metrics },
      jobs: { load: (path) => this.#text().load(path), run: (job) => this.#text().run(job) },
      pathOf: (worker, model) => this.#pathOf(worker, model),
      tokensBy: (worker, question) => tokenizers.tokensBy(worker, question),
    });
    this.#shared = openShared(parts);
    this.#shared.follow(sharedFrom(settings().tokens));
    this.source = new ExactTokens(settings().tokens, {
      ...{ clock, metrics, tokenizers, locals: this.#locals },
      shared: () => this.#shared.current,
      workersFor: (model) => registry.membersFor(model).members.filter(isWell),
      versionOf: ({ spec }) => connections.versionOf(spec),
      onDoubt: (doubted) => {
        log.warn({ ...doubted }, 'the worker counts other tokens in a prompt than were found for it');
        const worker = registry.get(doubted.worker);
        if (worker) this.#changed(worker);
      },
    });
    if (part.kind === 'control') answerThreads(part.channels, this.source);
    registry.onFleet(({ type, worker }) => {
      // Another engine may be there now: with another template, or with routes that the one before had not.
      if (type === 'healthy' || type === 'models' || type === 'traits') this.#changed(worker);
      if (type === 'left') {
        tokenizers.drop(worker);
        this.#locals.left(worker);
      }
    });
  }

  verdictsOf(worker: Worker): readonly LocalVerdict[] {
    return this.#locals.verdictsOf(worker);
  }

  reconfigure(settings: TokenSettings): void {
    this.source.reconfigure(settings);
    void this.#locals.reload(this.#parts.registry.fleet.filter(isWell));
    this.#shared.follow(sharedFrom(settings));
  }

  async close(): Promise<void> {
    await Promise.all([this.#jobs?.stop(), this.#shared.close()]);
  }

  #changed(worker: Worker): void {
    this.#tokenizers.reset(worker);
    for (const model of worker.models) this.source.forget(model);
    if (isWell(worker)) this.#locals.changed(worker);
  }

  #text(): TextJobs {
    const { clock, log, metrics } = this.#parts;
    return (this.#jobs ??= new TextJobs({ clock, log, metrics, module: TEXT_THREAD, heapMb: TEXT_HEAP_MB }));
  }

  #pathOf({ traits }: Worker, model: string): string | undefined {
    const { exact, paths } = this.#parts.settings().tokens;
    if (exact === 'off') return undefined;
    return tokenizerPathFor(traits.tokenizerPath, paths, model);
  }
}

interface SharedFrom {
  readonly store: StoreSettings;
  readonly ttlMs: number;
}

function sharedFrom({ shared, cache }: TokenSettings): SharedFrom | undefined {
  return shared && { store: shared, ttlMs: cache.ttlMs };
}

function openShared({ clock, stores }: Parts): MadeFrom<SharedFrom, SharedTokens> {
  const make = ({ store, ttlMs }: SharedFrom): SharedTokens => {
    const values = stores.valuesOf(store, { kind: 'tokens', mostBytes: MOST_TOKEN_BYTES });
    return new SharedTokens(values, ttlMs, () => clock.now());
  };
  return new MadeFrom(make, (tokens) => tokens.close());
}

function isWell({ health, draining, engine }: Worker): boolean {
  return health.healthy && !draining && engine === 'running';
}

function askWith(connections: WorkerConnections, clock: Clock): WorkerTokenizersDeps<Worker>['ask'] {
  return async ({ spec }, { path, body }, limits) => {
    const headers = [
      ...probeHeaders(spec),
      'content-type',
      'application/json',
      'accept-encoding',
      'identity',
    ];
    const request = { method: 'POST', path, headers, body, upgrade: undefined } as const;
    const answer = await collect(connections.clientOf(spec), request, clock, limits);
    if (answer.kind === 'response') return answer;
    return { kind: answer.code === 'timeout' ? 'late' : 'failed' };
  };
}
