/** A request thread that looks at the shared index as fast as it can, and records now and then what the plan allows. */
import { systemClock } from '../../src/base/system-clock.ts';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { PortChannel } from '../../src/base/port-channel.ts';
import { randomInt, seededRandom } from '../../src/base/random.ts';
import { PredictedIndexView } from '../../src/cache-knowledge/predicted-index-view.ts';
import { mayBeRecorded, mostTokens, PROMPT_PLAN, SLOTS } from './index-plan.ts';

export interface Seen {
  readonly looks: number;
  /** Looks that found something. */
  readonly found: number;
  /** What nobody recorded, as text. */
  readonly wrong: readonly string[];
  readonly longestMs: number;
}

// As the test hands it over.
const { seed, port } = workerData as { readonly seed: number; readonly port: MessagePort };
const view = new PredictedIndexView(new PortChannel(port), systemClock).open();
const random = seededRandom(seed);
const wrong: string[] = [];
let looks = 0;
let found = 0;
let longestMs = 0;

function look(): void {
  const planned = PROMPT_PLAN[randomInt(random, PROMPT_PLAN.length)]!;
  const from = performance.now();
  const { rows, tokens } = view.matchAll(planned.blocks, SLOTS);
  for (let slot = 0; slot < SLOTS; slot++) check('all', planned, slot, tokens[rows[slot]!]!);
  for (let slot = randomInt(random, 4); slot < SLOTS; slot += 4)
    check('one', planned, slot, view.match(planned.blocks, slot).tokens);
  longestMs = Math.max(longestMs, performance.now() - from);
  looks++;
}

function check(how: string, planned: (typeof PROMPT_PLAN)[number], slot: number, tokens: number): void {
  if (tokens > 0) found++;
  if (!(tokens <= mostTokens(planned, slot)) && wrong.length < 10)
    wrong.push(`${how}: ${tokens} tokens of prompt ${PROMPT_PLAN.indexOf(planned)} in slot ${slot}`);
}

function turn(): void {
  for (let step = 0; step < 50; step++) look();
  for (let step = 0; step < 20; step++) {
    const planned = PROMPT_PLAN[randomInt(random, PROMPT_PLAN.length)]!;
    const slot = randomInt(random, SLOTS);
    if (mayBeRecorded(planned, slot)) view.record(planned.blocks, slot, 1);
  }
  setImmediate(turn);
}

parentPort?.on('message', () => {
  parentPort?.postMessage({ looks, found, wrong, longestMs } satisfies Seen);
});
turn();
