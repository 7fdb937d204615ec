import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { notFound } from './api-error.ts';
import { stringField, type Fields } from './fields.ts';
import { header, type Exchange } from './exchange.ts';
import type { SimSettings } from './options.ts';
import type { StoredResponse } from './response-object.ts';
import { TokenBuffer } from '../engine/tokens.ts';
import { WorkerModel } from '../engine/worker-model.ts';
import type { WorkerTransfer } from '../kv-transfer/worker-transfer.ts';
import type { WorkerEvents } from '../kv-events/worker-events.ts';

/** What the handlers of one simulated server share. */
export class SimState {
  readonly settings: SimSettings;
  readonly clock: Clock;
  readonly engines: readonly WorkerModel[];
  /** Where it publishes what its caches hold. */
  kvEvents: WorkerEvents | undefined;
  /** Where it hands over, or takes over, the KV cache of prompts. */
  kvTransfer: WorkerTransfer | undefined;
  /** Adapters by name, with the path they were loaded from. */
  readonly loras: Map<string, string>;
  /** By id, oldest first. */
  readonly responses = new Map<string, StoredResponse>();
  /** Unix seconds at start. */
  readonly created: number;
  /** Scratch for the prompt being read: handlers fill it and are done with it before they return. */
  readonly tokens = new TokenBuffer();
  /** Requests being answered, as `/load` counts them. */
  inFlight = 0;
  sleepLevel = 0;
  /** By `/pause`. */
  paused = false;
  /** What `/metrics` said when the engine hung; undefined while it does not. */
  frozenMetrics: string | undefined;
  // Ids must differ between workers and restarts, whatever the seed: routers remember who made which response.
  readonly #idPrefix = randomBytes(12).toString('hex');
  #ids = 0;

  constructor(settings: SimSettings, clock: Clock) {
    this.settings = settings;
    this.clock = clock;
    this.engines = Array.from(
      { length: settings.dataParallelSize },
      () => new WorkerModel(settings.model, clock),
    );
    this.loras = new Map(settings.loras.map((name) => [name, `/adapters/${name}`]));
    this.created = this.unixSeconds();
  }

  unixSeconds(): number {
    return Math.floor(this.clock.wall() / 1000);
  }

  get mainModel(): string {
    return this.settings.models[0] ?? 'sim-model';
  }

  /** Engines run unless something holds them. */
  holdOrRun(): void {
    const held = this.paused || this.sleepLevel > 0 || this.frozenMetrics !== undefined;
    for (const engine of this.engines)
      if (held) engine.pause();
      else engine.resume();
  }

  nextId(): string {
    return this.#idPrefix + (this.#ids++).toString(16).padStart(8, '0');
  }

  /** vLLM's base id of a request: the header, else the body's `request_id`, else a fresh one. */
  requestId(exchange: Exchange, fields: Fields): string {
    exchange.id ??= header(exchange, 'x-request-id') ?? stringField(fields, 'request_id') ?? this.nextId();
    return exchange.id;
  }

  /** The model asked for; throws vLLM's 404 when it is not served. */
  modelOf(fields: Fields): string {
    const model = stringField(fields, 'model') ?? this.mainModel;
    if (!this.settings.models.includes(model) && !this.loras.has(model)) {
      throw notFound(`The model \`${model}\` does not exist.`, 'model');
    }
    return model;
  }

  /** The engine of `X-data-parallel-rank`, else the least busy one by vLLM's own measure. */
  engineFor(exchange: Exchange): WorkerModel {
    const first = this.engines[0];
    if (!first) throw new RangeError('a simulated worker has at least one engine');
    if (this.engines.length === 1) return first;
    const rank = header(exchange, 'x-data-parallel-rank');
    if (rank !== undefined && /^\d+$/.test(rank)) {
      const pinned = this.engines[Number(rank)];
      if (!pinned) throw new RangeError(`data parallel rank ${rank} is out of range`);
      return pinned;
    }
    let best = first;
    for (const engine of this.engines) if (busyness(engine) < busyness(best)) best = engine;
    return best;
  }
}

function busyness(engine: WorkerModel): number {
  return 4 * engine.waiting + engine.running;
}
