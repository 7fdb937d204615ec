import type { StoredAnswer } from './stored-answer.ts';

/** What those who waited are told: the answer; that it is their turn to get it; or that everybody asks alone. */
export type Landing =
  | { readonly kind: 'answer'; readonly answer: StoredAnswer }
  | { readonly kind: 'lead'; readonly lead: Lead }
  | { readonly kind: 'alone' };

/** Of the one who asks a worker for all. Each of the ends may be called more than once; the first counts. */
export interface Lead {
  landed(answer: StoredAnswer): void;
  /** No answer that others could have. */
  failed(): void;
  /** Its client left: another one goes on. */
  left(): void;
}

export type Boarding =
  | { readonly kind: 'lead'; readonly lead: Lead }
  | { readonly kind: 'wait'; readonly landing: Promise<Landing>; leave(): void }
  /** As many wait as may. */
  | { readonly kind: 'alone' };

interface Flight {
  /** In the order in which they came. */
  readonly waiting: Set<(landing: Landing) => void>;
}

/** Waiting costs little, but so many would come to one worker when the one who asks for them fails. */
const MOST_WAITING = 256;

/** Requests for one answer, of which the first asks a worker and the others wait for what comes of it. */
export class Flights {
  readonly #byKey = new Map<string, Flight>();
  readonly #mostWaiting: number;

  constructor(mostWaiting = MOST_WAITING) {
    this.#mostWaiting = mostWaiting;
  }

  /** Answers that somebody is getting. */
  get size(): number {
    return this.#byKey.size;
  }

  join(key: string): Boarding {
    const flight = this.#byKey.get(key);
    if (!flight) {
      const begun: Flight = { waiting: new Set() };
      this.#byKey.set(key, begun);
      return { kind: 'lead', lead: this.#lead(key, begun) };
    }
    if (flight.waiting.size >= this.#mostWaiting) return { kind: 'alone' };
    const { promise, resolve } = Promise.withResolvers<Landing>();
    flight.waiting.add(resolve);
    return { kind: 'wait', landing: promise, leave: () => void flight.waiting.delete(resolve) };
  }

  #lead(key: string, flight: Flight): Lead {
    let isOver = false;
    const end = (landing: Landing): void => {
      if (isOver) return;
      isOver = true;
      this.#byKey.delete(key);
      for (const resolve of flight.waiting) resolve(landing);
      flight.waiting.clear();
    };
    return {
      landed: (answer) => {
        end({ kind: 'answer', answer });
      },
      failed: () => {
        end({ kind: 'alone' });
      },
      left: () => {
        if (isOver) return;
        const [next] = flight.waiting;
        if (!next) {
          end({ kind: 'alone' });
          return;
        }
        isOver = true;
        flight.waiting.delete(next);
        next({ kind: 'lead', lead: this.#lead(key, flight) });
      },
    };
  }
}
