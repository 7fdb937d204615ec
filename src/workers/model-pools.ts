import type { PdStage } from '../config/settings/settings.ts';
import type { Worker } from './worker.ts';

/** What of a request a worker is wanted for. */
export type Stage = 'whole' | PdStage;

/** The stable membership of one pool. */
export interface PoolMembers {
  /** The model, or '' for the pool of all workers; with the stage in front of it where that is not `whole`. */
  readonly key: string;
  /** Changes with `members`, and never takes a former value. */
  readonly generation: number;
  readonly members: readonly Worker[];
  /** Whether the workers list the model; false for the pool of all. */
  readonly listed: boolean;
}

interface CachedPool {
  pool: PoolMembers;
  /** The state of the fleet it was last compared with. */
  version: number;
}

const MOST_POOLS = 1024;

/** What the key of a pool of external backends begins with; it is made for one request, and kept nowhere. */
export const EXTERNAL_KEY = '\0external:';
/** No model's name begins so. */
const KEY_OF: Readonly<Record<PdStage, string>> = { prefill: '\0prefill:', decode: '\0decode:' };

/** Which workers serve which model: derived from what they list, and kept until that changes. */
export class ModelPools {
  #workers: readonly Worker[] = [];
  #version = 0;
  #generation = 0;
  /** How many workers list each model. */
  readonly #listings = new Map<string, number>();
  #names: ReadonlySet<string> | undefined;
  /** Least recently used first, as far as it matters: order is kept only while the map is full. */
  readonly #pools = new Map<string, CachedPool>();
  readonly #cardsOf = new Map<Worker, readonly unknown[]>();
  #cards: readonly unknown[] | undefined;
  #hasPrefill = false;
  #handsOver = false;

  /** To be called after every change of workers or of their models. */
  changed(workers: readonly Worker[]): void {
    this.#workers = workers;
    this.#version += 1;
    this.#cards = undefined;
    this.#hasPrefill = workers.some(isPrefill);
    this.#handsOver = workers.some(({ traits }) => traits.role !== 'regular');
  }

  relist(before: ReadonlySet<string>, after: ReadonlySet<string>): void {
    this.#names = undefined;
    // Up before down, so that a pool whose only worker still lists it is kept.
    for (const model of after) this.#listings.set(model, (this.#listings.get(model) ?? 0) + 1);
    for (const model of before) {
      const left = (this.#listings.get(model) ?? 0) - 1;
      if (left > 0) {
        this.#listings.set(model, left);
      } else {
        this.#listings.delete(model);
        this.#drop(model);
      }
    }
  }

  forget(worker: Worker): void {
    this.relist(worker.models, new Set());
    this.#cardsOf.delete(worker);
  }

  /** Whether every model is listed by every worker, so that the model makes no difference to who may serve. */
  get alike(): boolean {
    for (const count of this.#listings.values()) if (count < this.#workers.length) return false;
    return true;
  }

  lists(model: string): boolean {
    return this.#listings.has(model) && model !== '';
  }

  /** All models that are listed. */
  get models(): ReadonlySet<string> {
    this.#names ??= new Set([...this.#listings.keys()].filter((name) => name !== ''));
    return this.#names;
  }

  /** Whether any request might be split. */
  get hasPrefill(): boolean {
    return this.#hasPrefill;
  }

  /** Whether any worker is one that hands KV blocks over or takes them. */
  get handsOver(): boolean {
    return this.#handsOver;
  }

  membersFor(model: string, stage: Stage = 'whole'): PoolMembers {
    // The empty name stands for a request that names no model, whatever a worker may list.
    return this.#poolOf(this.lists(model) ? model : '', stage);
  }

  setCards(worker: Worker, cards: readonly unknown[]): void {
    this.#cardsOf.set(worker, cards);
    this.#cards = undefined;
  }

  cardsOf(worker: Worker): readonly unknown[] {
    return this.#cardsOf.get(worker) ?? [];
  }

  cards(): readonly unknown[] {
    this.#cards ??= this.#unionOfCards();
    return this.#cards;
  }

  #poolOf(model: string, stage: Stage): PoolMembers {
    const key = keyOf(model, stage);
    const cached = this.#pools.get(key);
    if (cached === undefined) return this.#store(model, stage);
    if (this.#pools.size >= MOST_POOLS) {
      this.#pools.delete(key);
      this.#pools.set(key, cached);
    }
    if (cached.version !== this.#version) {
      const members = this.#membersOf(model, stage);
      if (!sameMembers(cached.pool.members, members)) cached.pool = this.#build(model, stage, members);
      cached.version = this.#version;
    }
    return cached.pool;
  }

  #store(model: string, stage: Stage): PoolMembers {
    if (this.#pools.size >= MOST_POOLS) {
      for (const oldest of this.#pools.keys()) {
        this.#pools.delete(oldest);
        break;
      }
    }
    const pool = this.#build(model, stage, this.#membersOf(model, stage));
    this.#pools.set(pool.key, { pool, version: this.#version });
    return pool;
  }

  #drop(model: string): void {
    this.#pools.delete(model);
    for (const start of Object.values(KEY_OF)) this.#pools.delete(start + model);
  }

  #build(model: string, stage: Stage, members: readonly Worker[]): PoolMembers {
    this.#generation += 1;
    return { key: keyOf(model, stage), generation: this.#generation, members, listed: model !== '' };
  }

  #membersOf(model: string, stage: Stage): readonly Worker[] {
    const isWhole = stage === 'whole';
    if (isWhole && model === '' && !this.#hasPrefill) return this.#workers;
    return this.#workers.filter(
      (worker) =>
        (isWhole ? !isPrefill(worker) : worker.traits.role === stage) &&
        (model === '' || worker.models.has(model)),
    );
  }

  #unionOfCards(): readonly unknown[] {
    const union = new Map<unknown, unknown>();
    for (const worker of this.#workers) {
      for (const card of this.#cardsOf.get(worker) ?? []) {
        const id = cardId(card);
        if (id !== undefined && !union.has(id)) union.set(id, card);
      }
    }
    return [...union.values()];
  }
}

/** What a pool is of, by its key. */
export function stageAndModelOf(key: string): {
  readonly stage: Stage | 'external';
  readonly model: string;
} {
  if (key.startsWith(EXTERNAL_KEY)) return { stage: 'external', model: key.slice(EXTERNAL_KEY.length) };
  for (const stage of ['prefill', 'decode'] as const)
    if (key.startsWith(KEY_OF[stage])) return { stage, model: key.slice(KEY_OF[stage].length) };
  return { stage: 'whole', model: key };
}

function keyOf(model: string, stage: Stage): string {
  return stage === 'whole' ? model : KEY_OF[stage] + model;
}

function isPrefill({ traits }: Worker): boolean {
  return traits.role === 'prefill';
}

function cardId(card: unknown): string | undefined {
  if (typeof card !== 'object' || card === null || !('id' in card)) return undefined;
  return typeof card.id === 'string' ? card.id : undefined;
}

function sameMembers(left: readonly Worker[], right: readonly Worker[]): boolean {
  return left.length === right.length && left.every((worker, index) => worker === right[index]);
}
