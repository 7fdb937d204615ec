import { randomInt, seededRandom, type Random } from '../../base/random.ts';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { drawExponential, drawTokens } from './draw.ts';
import type { Trace, TraceRequest } from './trace.ts';

/** Tokens per made-up block. */
const BLOCK_TOKENS = 64;

export interface GeneratorOptions {
  readonly requests: number;
  /** Mean arrivals per second, all kinds of requests together. */
  readonly ratePerSecond: number;
  readonly seed: number;
}

/** Hands out block ids that nobody else has. */
class Ids {
  #next = 1;

  take(count: number): number[] {
    const ids = new Array<number>(count);
    for (let index = 0; index < count; index += 1) ids[index] = this.#next++;
    return ids;
  }
}

/** A prompt that grows: what was said before is its prefix. */
class Conversation {
  readonly session: string;
  readonly #ids: Ids;
  readonly #blocks: number[];
  #tokens: number;

  constructor(session: string, ids: Ids, shared: readonly number[], sharedTokens: number) {
    this.session = session;
    this.#ids = ids;
    this.#blocks = [...shared];
    this.#tokens = sharedTokens;
  }

  say(tokens: number): void {
    this.#tokens += tokens;
    const missing = Math.floor(this.#tokens / BLOCK_TOKENS) - this.#blocks.length;
    if (missing > 0) this.#blocks.push(...this.#ids.take(missing));
  }

  request(at: number, outputTokens: number): TraceRequest {
    const blocks = blocksFromHashIds(this.#blocks, BLOCK_TOKENS, this.#tokens);
    return { at, promptTokens: this.#tokens, outputTokens, blocks, session: this.session };
  }
}

const QUESTION = { median: 150, sigma: 1, least: 8, most: 4000 };
const ANSWER = { median: 250, sigma: 0.8, least: 4, most: 2000 };
const DOCUMENT = { median: 3000, sigma: 0.9, least: 200, most: 24_000 };
const MEAN_TURNS = 5;
const THINK_MS = 20_000;
const MS_PER_OUTPUT_TOKEN = 20;

/** Sessions under way at the beginning have begun up to this long before it. */
const WARM_UP_MS = 10 * 60_000;

/**
 * Draws sessions until all of the first `requests` are there. Sessions begin before the workload does, and what they say
 * before 0 is their history, so that the rate is the same from beginning to end.
 */
function drawSessions(
  { requests, ratePerSecond }: GeneratorOptions,
  nextStart: () => number,
  draw: (startsAt: number, into: TraceRequest[]) => void,
): readonly TraceRequest[] {
  const drawn: TraceRequest[] = [];
  let until = (1000 * requests) / ratePerSecond;
  for (;;) {
    let startsAt = nextStart() - WARM_UP_MS;
    for (; startsAt < until; startsAt = nextStart() - WARM_UP_MS) draw(startsAt, drawn);
    draw(startsAt, drawn);
    const sure = drawn.reduce((count, { at }) => (at < startsAt ? count + 1 : count), 0);
    if (sure >= requests) return drawn;
    until = startsAt + Math.max(1000, 0.1 * until);
  }
}

/** Chats of several turns, each with a document of its own, that begin at the times of `starts`. */
function chats(
  options: GeneratorOptions,
  starts: (random: Random, meanGapMs: number) => () => number,
): readonly TraceRequest[] {
  const random = seededRandom(options.seed);
  const ids = new Ids();
  const system = ids.take(8);
  let sessions = 0;
  return drawSessions(options, starts(random, (1000 * MEAN_TURNS) / options.ratePerSecond), (start, into) => {
    let at = start;
    const session = String((sessions += 1));
    const conversation = new Conversation(session, ids, system, system.length * BLOCK_TOKENS);
    conversation.say(drawTokens(random, DOCUMENT));
    do {
      conversation.say(drawTokens(random, QUESTION));
      const output = drawTokens(random, ANSWER);
      if (at >= 0) into.push(conversation.request(at, output));
      conversation.say(output);
      at += output * MS_PER_OUTPUT_TOKEN + drawExponential(random, THINK_MS);
    } while (random() > 1 / MEAN_TURNS);
  });
}

function poissonStarts(random: Random, meanGapMs: number): () => number {
  let at = 0;
  return () => (at += drawExponential(random, meanGapMs));
}

const BURST_MS = 10_000;
const QUIET_MS = 30_000;

/** The same rate in the mean, but four times as much in bursts of about 10 s and nothing between them. */
function burstyStarts(random: Random, meanGapMs: number): () => number {
  let at = 0;
  let endsAt = drawExponential(random, BURST_MS);
  return () => {
    at += drawExponential(random, (meanGapMs * BURST_MS) / (BURST_MS + QUIET_MS));
    while (at > endsAt) {
      const pause = drawExponential(random, QUIET_MS);
      at += pause;
      endsAt += pause + drawExponential(random, BURST_MS);
    }
    return at;
  };
}

const GROUPS = 150;
const GROUP_TOKENS = 6000;
const OWN = { median: 1200, sigma: 0.2, least: 200, most: 4000 };
const SHORT_ANSWER = { median: 250, sigma: 0.5, least: 16, most: 1000 };

/** Single questions behind long system prompts, one per group of customers; popular groups ask more often (Zipf). */
function sharedPrefix({ requests, ratePerSecond, seed }: GeneratorOptions): readonly TraceRequest[] {
  const random = seededRandom(seed);
  const ids = new Ids();
  const groups = Array.from({ length: GROUPS }, () => ids.take(Math.floor(GROUP_TOKENS / BLOCK_TOKENS)));
  const weights = groups.map((_, index) => 1 / (index + 1) ** 0.7);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let at = 0;
  return Array.from({ length: requests }, (_, index) => {
    at += drawExponential(random, 1000 / ratePerSecond);
    let ticket = random() * total;
    let group = 0;
    while (group < GROUPS - 1 && (ticket -= weights[group] ?? 0) > 0) group += 1;
    const shared = groups[group] ?? [];
    const prompt = new Conversation(String(index), ids, shared, shared.length * BLOCK_TOKENS);
    prompt.say(drawTokens(random, OWN));
    return { ...prompt.request(at, drawTokens(random, SHORT_ANSWER)), session: undefined };
  });
}

const KINDS_OF_AGENTS = 12;
const AGENT_PROMPT_TOKENS = 8000;
const MEAN_STEPS = 12;
const OBSERVATION = { median: 800, sigma: 1.2, least: 20, most: 16_000 };
const ACTION = { median: 120, sigma: 0.7, least: 8, most: 1000 };
const SHORT_GAP_MS = 2_000;
const LONG_GAP_MS = 60_000;

/** Programs that call a tool after every answer: long shared instructions, growing histories, gaps short and long. */
function agents(options: GeneratorOptions): readonly TraceRequest[] {
  const random = seededRandom(options.seed);
  const ids = new Ids();
  const kinds = Array.from({ length: KINDS_OF_AGENTS }, () => ids.take(AGENT_PROMPT_TOKENS / BLOCK_TOKENS));
  let programs = 0;
  return drawSessions(
    options,
    poissonStarts(random, (1000 * MEAN_STEPS) / options.ratePerSecond),
    (start, into) => {
      let at = start;
      const shared = kinds[randomInt(random, KINDS_OF_AGENTS)] ?? [];
      const conversation = new Conversation(String((programs += 1)), ids, shared, AGENT_PROMPT_TOKENS);
      do {
        conversation.say(drawTokens(random, OBSERVATION));
        const output = drawTokens(random, ACTION);
        if (at >= 0) into.push(conversation.request(at, output));
        conversation.say(output);
        const gap = random() < 0.1 ? LONG_GAP_MS : SHORT_GAP_MS;
        at += output * MS_PER_OUTPUT_TOKEN + drawExponential(random, gap);
      } while (random() > 1 / MEAN_STEPS);
    },
  );
}

/** Made-up workloads, by name. */
export const GENERATORS = {
  poisson_chats: (options) => chats(options, poissonStarts),
  bursty_chats: (options) => chats(options, burstyStarts),
  shared_prefix: sharedPrefix,
  agents,
} as const satisfies Record<string, (options: GeneratorOptions) => readonly TraceRequest[]>;

export type GeneratorName = keyof typeof GENERATORS;

export function generateTrace(name: GeneratorName, options: GeneratorOptions): Trace {
  const drawn = [...GENERATORS[name](options)]
    .sort((left, right) => left.at - right.at)
    .slice(0, options.requests);
  const first = drawn[0]?.at ?? 0;
  const requests = drawn.map((request) => ({ ...request, at: request.at - first }));
  return { name, requests, blockSize: BLOCK_TOKENS };
}
