/** A request thread that looks at an exact index as fast as it can, while another one writes it. */
import { parentPort, workerData } from 'node:worker_threads';
import { randomInt, seededRandom } from '../../src/base/random.ts';
import { ExactReader } from '../../src/cache-knowledge/exact/exact-reader.ts';
import type { ExactMemory } from '../../src/cache-knowledge/exact/exact-memory.ts';
import { EXACT_PLAN, type ExactPlanned } from './exact-plan.ts';
import { mostTokens, SLOTS } from './index-plan.ts';
import type { Seen } from './index-reader.ts';

// As the test hands it over.
const { seed, memory } = workerData as { readonly seed: number; readonly memory: ExactMemory };
const reader = new ExactReader(memory);
const random = seededRandom(seed);
const wrong: string[] = [];
let looks = 0;
let found = 0;
let longestMs = 0;

function look(): void {
  const one = EXACT_PLAN[randomInt(random, EXACT_PLAN.length)]!;
  const from = performance.now();
  const held = reader.matchAll(one.chain, SLOTS);
  longestMs = Math.max(longestMs, performance.now() - from);
  for (let slot = 0; slot < SLOTS; slot++) check('all', one, slot, held[slot]!);
  for (let slot = randomInt(random, 4); slot < SLOTS; slot += 4) {
    check('one', one, slot, reader.match(one.chain, slot));
    const { gpu, cpu, disk } = reader.tiers(one.chain, slot);
    check('tiers', one, slot, gpu + cpu + disk);
  }
  looks++;
}

function check(how: string, { planned, chain }: ExactPlanned, slot: number, blocks: number): void {
  const tokens = Math.max(0, blocks) * chain.tokensPerBlock;
  if (tokens > 0) found++;
  if (!(tokens <= mostTokens(planned, slot)) && wrong.length < 10)
    wrong.push(`${how}: ${tokens} tokens of a prompt of ${chain.totalTokens} in slot ${slot}`);
}

function turn(): void {
  for (let step = 0; step < 50; step++) look();
  setImmediate(turn);
}

parentPort?.on('message', () => {
  parentPort?.postMessage({ looks, found, wrong, longestMs } satisfies Seen);
});
turn();
