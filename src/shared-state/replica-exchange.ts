import type { Clock, Timer } from '../base/clock.ts';
import type { RoutedBlocks } from '../cache-knowledge/record-ring.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { Roster } from '../workers/roster.ts';
import { OwnLoads } from './own-loads.ts';
import { Placements, type OwnPlacement } from './placements.ts';
import { ReplicaLoads } from './replica-loads.ts';
import {
  decodeMessage,
  encodeMessage,
  isFrom,
  type MessageBody,
  type ReplicaMessage,
  type Unusable,
} from './replica-message.ts';

/** The way to the other replicas. Whatever goes wrong there is no error here: who hears nothing goes by what it knows itself. */
export interface ReplicaWay {
  /** `onEnd` is told once whether it has been handed over. */
  publish(message: Buffer, onEnd: (sent: boolean) => void): void;
  /** Of every replica, this one included; `onReady`: from now on they come. Returns how to stop. */
  subscribe(onMessage: (message: Buffer) => void, onReady: () => void): () => void;
}

export interface ExchangeSettings {
  readonly intervalMs: number;
  readonly secret: string | undefined;
}

export interface ExchangeDeps extends ExchangeSettings {
  readonly clock: Clock;
  readonly registry: Roster;
  readonly ledger: LoadLedger;
  readonly way: ReplicaWay;
  /** 16 bytes that nobody else has. */
  readonly origin: Buffer;
  /** Enters what another replica has sent to a worker; nothing where no policy looks at it. */
  readonly record: (record: RoutedBlocks) => void;
  /** There are more of them, or fewer. */
  readonly onOthers?: (others: number) => void;
  readonly onCounted?: (what: 'sent' | 'unsent' | 'received' | 'late' | 'crowded' | Unusable) => void;
}

/** Prompts are told of sooner than loads: a burst with one beginning comes within so many. */
const BLOCKS_MS = 10;
/** Everything is said anew so often, whether it changed or not: who missed something, or is new, has it then. */
const WHOLE_MS = 500;
/** Who has not been heard of for so long is gone. */
export const GONE_MS = 2500;

/**
 * Makes of several routers one, as far as loads and placements go: each tells the others, in batches, what it has on each worker and
 * which prompts it sent there, and enters what they tell where the threads of one process enter theirs. Loads are told as they are, not
 * as they change, so a message that is lost is made up for by the next.
 *
 * It belongs to the thread in control, or to the only one.
 */
export class ReplicaExchange {
  readonly #deps: ExchangeDeps;
  readonly #own: OwnLoads;
  readonly #loads: ReplicaLoads;
  readonly #placements: Placements;
  #settings: ExchangeSettings;
  #stopListening: () => void = () => undefined;
  #stopWatching: () => void = () => undefined;
  #tick: Timer | undefined;
  #blocks: Timer | undefined;
  #wholeAt = -Infinity;
  /** A message with loads, and one with blocks, is on its way: what changes meanwhile goes with the next. */
  readonly #underWay = { load: false, blocks: false };
  readonly #numbers = { hello: 0, load: 0, blocks: 0, bye: 0 };
  /** Since when messages have gone out; undefined while they do not. */
  #upSince: number | undefined;
  #lastOthers = 0;
  #toldOthers = 0;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
    this.#settings = deps;
    this.#own = new OwnLoads(deps.registry, deps.ledger);
    this.#loads = new ReplicaLoads(deps.registry, deps.ledger);
    this.#placements = new Placements(deps.registry);
  }

  /** Other replicas that are heard of. */
  get others(): number {
    return this.#loads.count;
  }

  /** As many as there were when they could be heard last. */
  get lastOthers(): number {
    return this.#lastOthers;
  }

  /** Blocks that others were not told of, since ever. */
  get droppedBlocks(): number {
    return this.#placements.dropped;
  }

  start(): void {
    const { way, registry } = this.#deps;
    this.#stopListening = way.subscribe(
      (message) => {
        this.#hear(message);
      },
      () => {
        this.#send({ kind: 'hello' });
      },
    );
    this.#stopWatching = registry.on(({ type, worker }) => {
      if (type === 'left') this.#loads.forget(worker.id);
    });
    this.#turn();
  }

  /** Tells the others that all it had is free. */
  stop(): Promise<void> {
    this.#tick?.cancel();
    this.#blocks?.cancel();
    this.#stopListening();
    this.#stopWatching();
    for (const origin of [...this.#loads.origins]) this.#loads.drop(origin);
    return new Promise((resolve) => {
      this.#send({ kind: 'bye' }, () => {
        resolve();
      });
    });
  }

  reconfigure(settings: ExchangeSettings): void {
    this.#settings = settings;
  }

  /** This replica has sent a prompt to a worker. */
  placed(placement: OwnPlacement): void {
    if (this.#loads.count === 0) return;
    this.#placements.note(placement);
    this.#blocks ??= this.#deps.clock.after(BLOCKS_MS, () => {
      this.#blocks = undefined;
      this.#tellBlocks();
    });
  }

  #turn(): void {
    const { clock } = this.#deps;
    const now = clock.now();
    this.#loads.expire(now - GONE_MS);
    this.#countOthers(now);
    if (!this.#underWay.load) this.#tellLoads(now);
    this.#tick = clock.after(this.#settings.intervalMs, () => {
      this.#turn();
    });
  }

  /** Who falls silent while nothing gets through need not be gone. */
  #countOthers(now: number): void {
    const { count } = this.#loads;
    const hears = this.#upSince !== undefined && now - this.#upSince > GONE_MS;
    this.#lastOthers = hears ? count : Math.max(this.#lastOthers, count);
    if (count === this.#toldOthers) return;
    this.#toldOthers = count;
    this.#deps.onOthers?.(count);
  }

  #tellLoads(now: number): void {
    const whole = now - this.#wholeAt >= WHOLE_MS;
    if (whole) this.#wholeAt = now;
    const loads = whole ? this.#own.all(now) : this.#own.changes(now);
    if (!whole && loads.length === 0) return;
    this.#underWay.load = true;
    this.#send({ kind: 'load', whole, loads }, (sent) => {
      this.#underWay.load = false;
      // Nobody knows whether they heard.
      if (!sent) this.#wholeAt = Math.min(this.#wholeAt, this.#deps.clock.now() - WHOLE_MS / 2);
    });
  }

  #tellBlocks(): void {
    if (this.#underWay.blocks || this.#placements.isEmpty) return;
    this.#underWay.blocks = true;
    this.#send({ kind: 'blocks', placed: this.#placements.take() }, () => {
      this.#underWay.blocks = false;
      this.#tellBlocks();
    });
  }

  #send(body: MessageBody, onEnd?: (sent: boolean) => void): void {
    const { origin, way, onCounted } = this.#deps;
    const number = ++this.#numbers[body.kind];
    way.publish(encodeMessage(body, { origin, number, secret: this.#settings.secret }), (sent) => {
      if (!sent) this.#upSince = undefined;
      else this.#upSince ??= this.#deps.clock.now();
      onCounted?.(sent ? 'sent' : 'unsent');
      onEnd?.(sent);
    });
  }

  #hear(bytes: Buffer): void {
    const { origin, onCounted, clock } = this.#deps;
    if (isFrom(bytes, origin)) return;
    const message = decodeMessage(bytes, this.#settings.secret);
    if (typeof message === 'string') {
      onCounted?.(message);
      return;
    }
    if (message.kind === 'bye') {
      if (this.#loads.drop(message.origin)) this.#lastOthers -= 1;
    } else {
      const heard = this.#loads.heard(message, clock.now());
      if (heard !== 'new') {
        onCounted?.(heard);
        return;
      }
    }
    this.#enter(message);
    onCounted?.('received');
  }

  #enter(message: ReplicaMessage): void {
    switch (message.kind) {
      case 'hello':
        this.#wholeAt = -Infinity;
        return;
      case 'load':
        this.#loads.take(message.origin, message);
        return;
      case 'blocks':
        this.#enterBlocks(message.placed);
        return;
      case 'bye':
        return;
    }
  }

  /** Names only select among workers that are registered here. */
  #enterBlocks(placed: Extract<MessageBody, { kind: 'blocks' }>['placed']): void {
    const { registry, record } = this.#deps;
    for (const { id, tokens, hashes } of placed) {
      const worker = registry.get(id);
      if (!worker) continue;
      const { slot, generation } = worker;
      record({ hashes, count: hashes.length / 2, slot, generation, tokens, finding: undefined });
    }
  }
}
