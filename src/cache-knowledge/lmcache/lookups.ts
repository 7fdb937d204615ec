import type { Clock } from '../../base/clock.ts';
import { inPieces, type Pieces } from '../../base/in-pieces.ts';
import type { BreakerSettings } from '../../config/settings/settings.ts';
import { Breaker, type BreakerStateName } from '../../workers/breaker.ts';
import type { Permit } from '../../workers/permit.ts';
import type {
  AskController,
  ControllerAnswer,
  ControllerDialect,
  Holding,
  LookupPrompt,
  Reading,
} from './controller.ts';
import { reading } from './json.ts';

/** Ids of a longer prompt that are looked up; what is behind them counts as not stored. Written in two milliseconds, 450 KB. */
const MOST_TOKENS = 65_536;
/** Lookups of one thread at once. */
const MOST_AT_ONCE = 64;

/** What came of a lookup that brought no list of instances. */
export type LookupFailure = 'timeout' | 'error' | 'too_large' | 'circuit_open' | 'busy' | 'aborted';

export type Lookup =
  | { readonly kind: 'found'; readonly reading: Reading<Holding> }
  | { readonly kind: 'failed'; readonly why: LookupFailure; readonly message: string };

export interface LookupSettings {
  readonly timeoutMs: number;
  readonly breaker: BreakerSettings;
}

export interface LookupDeps {
  readonly clock: Clock;
  readonly ask: AskController;
  readonly onBreaker: (from: BreakerStateName, to: BreakerStateName) => void;
}

/** Asks who stores the beginning of a prompt. A controller that fails is left alone for a while, and never asked by too many at once. */
export class Lookups {
  readonly #deps: LookupDeps;
  readonly #breaker: Breaker;
  #settings: LookupSettings;
  #underWay = 0;

  constructor(settings: LookupSettings, deps: LookupDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#breaker = new Breaker(settings.breaker, deps.clock, deps.onBreaker);
  }

  reconfigure(settings: LookupSettings): void {
    this.#settings = settings;
    this.#breaker.reconfigure(settings.breaker);
  }

  /** Never rejects, and resolves within the time that a lookup may take. */
  async find(dialect: ControllerDialect, prompt: LookupPrompt, signal: AbortSignal): Promise<Lookup> {
    const now = this.#deps.clock.now();
    if (!this.#breaker.admits(now)) return failed('circuit_open', 'the controller failed too often in a row');
    if (this.#underWay >= MOST_AT_ONCE) return failed('busy', `${MOST_AT_ONCE} lookups are under way`);
    const permit = this.#breaker.permit(now);
    const ids = prompt.ids.subarray(0, MOST_TOKENS);
    this.#underWay += 1;
    const { timeoutMs } = this.#settings;
    const answer = await this.#deps.ask(dialect.lookup({ ...prompt, ids }), {
      ...{ timeoutMs, signal },
      maxBytes: dialect.maxAnswerBytes,
    });
    const read = (said: unknown): Pieces<Read> => dialect.holdings(said, ids.length);
    const isOver = (): boolean => signal.aborted || this.#deps.clock.now() - now > timeoutMs;
    const lookup =
      answer.kind === 'failed'
        ? blame(answer, permit)
        : await judge(answer, permit, unlessOver(reading(answer.body, read), isOver));
    this.#underWay -= 1;
    return lookup;
  }
}

type Answered = Extract<ControllerAnswer, { kind: 'response' }>;
type Read = Reading<Holding> | undefined;

/** The work, for as long as somebody waits for it. */
function* unlessOver(work: Pieces<Read>, isOver: () => boolean): Pieces<Read | 'over'> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (isOver()) return 'over';
    yield;
  }
}

function blame({ code, message }: Exclude<ControllerAnswer, Answered>, permit: Permit): Lookup {
  // That there was no socket or nobody waits any more, or that a prompt is stored in very many places, says nothing of the controller.
  const isItsDoing = code !== 'aborted' && code !== 'out_of_sockets' && code !== 'too_large';
  if (isItsDoing) permit.failure();
  else permit.cancel();
  return failed(FAILURES[code] ?? 'error', message);
}

async function judge({ status }: Answered, permit: Permit, work: Pieces<Read | 'over'>): Promise<Lookup> {
  const read = status === 200 ? await inPieces(work) : undefined;
  if (read === 'over') {
    permit.cancel();
    return failed('timeout', 'there was no time to read all of its answer');
  }
  if (read) {
    permit.success();
    return { kind: 'found', reading: read };
  }
  // It answers, and has something against this prompt.
  if (status >= 400 && status < 500 && status !== 404) permit.success();
  else permit.failure();
  return failed(
    'error',
    status === 200 ? 'its answer is no list of instances' : `it answered with status ${status}`,
  );
}

const FAILURES: Readonly<Record<string, LookupFailure>> = {
  timeout: 'timeout',
  aborted: 'aborted',
  too_large: 'too_large',
};

function failed(why: LookupFailure, message: string): Lookup {
  return { kind: 'failed', why, message };
}
