import type { Clock, Timer } from '../../base/clock.ts';
import { CACHE_SOURCES, type CacheSource } from '../../routing/policy.ts';
import type { Roster } from '../../workers/roster.ts';
import { blockSizeOf } from '../../workers/cache-config.ts';
import type { Worker } from '../../workers/worker.ts';
import { judge, SteadyVerdict, FEWEST_ANSWERS, type Accuracy } from './judge.ts';
import { added, NO_ACCURACY, since, type CacheTallies, type Tally } from './tallies.ts';
import { EventsHeard, type EventsSeen } from './events-heard.ts';
import type { Verdict } from './verdicts.ts';

/** Workers are judged so often. */
const EVERY_MS = 10_000;

export interface CacheProofDeps {
  readonly registry: Roster;
  readonly clock: Clock;
  readonly tallies: CacheTallies;
  /** What is seen of a worker's events; undefined where nobody wants them. */
  readonly eventsOf: (worker: Worker) => EventsSeen | undefined;
  /** The block size that is configured, where one is. */
  readonly expectedBlockSize: () => number | undefined;
  readonly onVerdict: (worker: Worker, verdict: Verdict, before: Verdict) => void;
}

/** What has been proved of one worker. */
export interface Proof {
  readonly verdict: Verdict;
  /** Since it joined, by how its cache was known. */
  readonly bySource: Readonly<Partial<Record<CacheSource, Accuracy>>>;
  readonly unreported: number;
}

interface Judged {
  readonly verdict: SteadyVerdict;
  readonly events: EventsHeard;
  /** The sums of its slot when it joined, and when it was last judged by its answers. */
  readonly joined: Tally;
  last: Tally;
}

/** Whether what is known of caches is true: every worker is judged by what its answers tell, as long as it is there. */
export class CacheProof {
  readonly #deps: CacheProofDeps;
  readonly #judged = new Map<Worker, Judged>();
  #timer: Timer | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(deps: CacheProofDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { registry } = this.#deps;
    for (const worker of registry.fleet) this.#join(worker);
    this.#unsubscribe = registry.onFleet(({ type, worker }) => {
      if (type === 'joined') this.#join(worker);
      else if (type === 'left') this.#judged.delete(worker);
    });
    this.#schedule();
  }

  stop(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#judged.clear();
  }

  of(worker: Worker): Proof | undefined {
    const judged = this.#judged.get(worker);
    if (!judged) return undefined;
    const { bySource, unreported } = this.#deps.tallies.of(worker.slot);
    const shown: Partial<Record<CacheSource, Accuracy>> = {};
    for (const source of CACHE_SOURCES) {
      const accuracy = since(bySource[source], judged.joined.bySource[source]);
      if (accuracy.answers > 0) shown[source] = accuracy;
    }
    return {
      verdict: judged.verdict.current,
      bySource: shown,
      unreported: unreported - judged.joined.unreported,
    };
  }

  /** Looks at all of them. */
  judgeAll(): void {
    for (const [worker, judged] of this.#judged) this.#judge(worker, judged);
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(EVERY_MS, () => {
      this.judgeAll();
      this.#schedule();
    });
  }

  #join(worker: Worker): void {
    const joined = this.#deps.tallies.of(worker.slot);
    this.#judged.set(worker, {
      ...{ verdict: new SteadyVerdict(), events: new EventsHeard() },
      ...{ joined, last: joined },
    });
  }

  #judge(worker: Worker, judged: Judged): void {
    const { tallies, clock, eventsOf, expectedBlockSize, onVerdict } = this.#deps;
    const now = tallies.of(worker.slot);
    const known = since(allOf(now), allOf(judged.last));
    const unreported = now.unreported - judged.last.unreported;
    const found = judge({
      prefixCaching: worker.cacheConfig?.prefixCaching,
      blockSize: worker.cacheConfig?.blockSize,
      expectedBlockSize: expectedBlockSize(),
      eventsMissing: judged.events.missing(eventsOf(worker), {
        ...{ now: clock.now(), told: allOf(now), blockSize: blockSizeOf(worker.cacheConfig) },
      }),
      known,
      unreported,
      forgotten: now.forgotten - judged.last.forgotten,
    });
    // Until there are enough answers they go on being gathered.
    if (known.answers + unreported >= FEWEST_ANSWERS) judged.last = now;
    const before = judged.verdict.current;
    if (judged.verdict.take(found)) onVerdict(worker, judged.verdict.current, before);
  }
}

function allOf({ bySource }: Tally): Accuracy {
  return CACHE_SOURCES.reduce((sum, source) => added(sum, bySource[source]), NO_ACCURACY);
}
