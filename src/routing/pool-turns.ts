import { LRUCache } from 'lru-cache';
import { hash53 } from '../base/hash.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { PolicyShare } from './policy.ts';

/** Pools that have a turn of their own; those beyond have it together with another one. */
const MOST_POOLS = 1024;
/** Cells that are looked at for a pool before it takes another one's. */
const PROBES = 16;
/** Layout of a cell: whose it is (0: nobody's yet), and the turn. */
const WORDS = 2;
const OWNER = 0;
const TURN = 1;

/** Whose turn it is in each pool, shared by the threads of a router: none is given twice. */
export class PoolTurns {
  readonly #cells: Int32Array;
  readonly #scope: string;
  readonly #cellOf = new LRUCache<string, number>({ max: MOST_POOLS });

  constructor(share?: PolicyShare) {
    this.#cells = new Int32Array(PoolTurns.region(share?.memory ?? ownMemory()));
    this.#scope = share?.scope ?? '';
  }

  /** Control makes it before request threads begin. */
  static region(memory: ThreadMemory): ArrayBufferLike {
    return memory.region('policies:turns', 4 * WORDS * MOST_POOLS);
  }

  of(pool: string): number {
    return Atomics.load(this.#cells, this.#cell(pool) + TURN);
  }

  /** False: another thread has taken this turn meanwhile. */
  take(pool: string, turn: number, next: number): boolean {
    return Atomics.compareExchange(this.#cells, this.#cell(pool) + TURN, turn, next) === turn;
  }

  /** Where the pool's cell begins: one that is its own already, or becomes so. */
  #cell(pool: string): number {
    const known = this.#cellOf.get(pool);
    if (known !== undefined) return known;
    const hash = hash53(`${this.#scope}\n${pool}`);
    const owner = Math.floor(hash / MOST_POOLS) | 0 || 1;
    const first = hash % MOST_POOLS;
    let at = WORDS * first;
    for (let probe = 0; probe < PROBES; probe++) {
      const cell = WORDS * ((first + probe) % MOST_POOLS);
      const before = Atomics.compareExchange(this.#cells, cell + OWNER, 0, owner);
      if (before !== 0 && before !== owner) continue;
      at = cell;
      break;
    }
    this.#cellOf.set(pool, at);
    return at;
  }
}
