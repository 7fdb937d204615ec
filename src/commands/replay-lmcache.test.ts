/** A day of round_robin decisions, replayed against lmcache_aware. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { seededRandom, randomInt } from '../base/random.ts';
import { replay } from './replay.ts';

const WORKERS = Array.from({ length: 4 }, (_, index) => `http://w${index}:8000`);
const DAY_MS = 86_400_000;
const BLOCK_TOKENS = 512;
const RATE = 8000;

/** Conversations of eight turns over a day, each turn to the next worker: what a turn adds are two blocks that nobody has. */
function dayOfRoundRobin(): string {
  const random = seededRandom(11);
  const turns = Array.from({ length: 60 }, (_, conversation) => {
    const begins = randomInt(random, DAY_MS - 8 * 60_000);
    return Array.from({ length: 8 }, (_, turn) => ({ conversation, turn, at: begins + turn * 60_000 }));
  }).flat();
  return turns
    .sort((left, right) => left.at - right.at)
    .map(({ conversation, turn, at }, index) => {
      const blocks = 2 * (turn + 1);
      const hashes = Uint32Array.from({ length: 2 * blocks }, (_, word) => 1 + conversation * 1000 + word);
      const ttft = (1000 * blocks * BLOCK_TOKENS) / RATE;
      return JSON.stringify({
        schema_version: 5,
        timestamp: new Date(1.79e12 + at).toISOString(),
        ...{ request_id: `r${index}`, http_method: 'POST', route: '/v1/chat/completions' },
        ...{ status: 200, outcome: 'ok', stream: true, model: 'm', method: 'policy', policy: 'round_robin' },
        ...{ worker: WORKERS[index % 4], reason: 'next_in_turn', queue_ms: 0, attempts: [] },
        ...{ prompt_tokens: blocks * BLOCK_TOKENS + 20, completion_tokens: 40, actual_cached_tokens: 0 },
        ...{ ttft_ms: ttft, duration_ms: ttft, total_ms: ttft + 400, request_bytes: 1, response_bytes: 1 },
        block_hashes: Buffer.from(hashes.buffer).toString('base64'),
        block_tokens: BLOCK_TOKENS,
      });
    })
    .join('\n');
}

interface Report {
  readonly replayed: number;
  readonly configs: readonly { readonly same: number; readonly different: number; readonly none: number }[];
  readonly model: {
    readonly placements: readonly { readonly placement: string; readonly hit_rate: number }[];
  };
  readonly notes: readonly string[];
}

async function replayed(t: TestContext, configs: Readonly<Record<string, string>>): Promise<Report> {
  const dir = mkdtempSync(join(tmpdir(), 'replay-lmcache-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const log = join(dir, 'day.jsonl');
  writeFileSync(log, dayOfRoundRobin());
  const flags = Object.entries(configs).flatMap(([name, text]) => {
    writeFileSync(join(dir, name), text);
    return ['--config', join(dir, name)];
  });
  let out = '';
  let err = '';
  const code = await replay(['--decisions', log, ...flags, '--json'], {
    out: (text) => (out += text),
    err: (text) => (err += text),
    bar: { show: () => undefined, clear: () => undefined },
  });
  assert.equal(code, 0, err);
  return JSON.parse(out) as Report;
}

describe('a day of round_robin decisions', () => {
  test('replayed against lmcache_aware, in both modes, shows what that would have been worth', async (t) => {
    const { configs, model, notes, ...study } = await replayed(t, {
      'prefix.yaml': 'policy: {type: lmcache_aware, lookup_mode: prefix_lookup}\n',
      'occupancy.yaml': 'policy: {type: lmcache_aware, fallback_policy: round_robin}\n',
      'least-work.yaml': 'policy: {type: least_work, cache_knowledge: lmcache}\n',
      'turns.yaml': 'policy: round_robin\n',
    });
    assert.equal(study.replayed, 480);
    for (const { same, different, none } of configs) assert.deepEqual([same + different, none], [480, 0]);
    const [, recorded, prefix, occupancy, leastWork, turns] = model.placements.map((row) => row.hit_rate);
    assert.ok(recorded !== undefined && prefix !== undefined && occupancy !== undefined);
    assert.ok(leastWork !== undefined && turns !== undefined);
    // Each turn but the first finds all that the one before had: 56 of 72 blocks.
    assert.ok(prefix > 0.7, `${prefix} by prefix`);
    assert.ok(leastWork > 0.7, `${leastWork} by least work`);
    assert.ok(recorded < 0.4 && turns < 0.4, `${recorded} as recorded, ${turns} by turns`);
    const said = notes.filter((note) => note.startsWith('the log does not say what LMCache stores'));
    assert.equal(said.length, 1);
    for (const name of ['prefix.yaml', 'occupancy.yaml', 'least-work.yaml'])
      assert.ok(said[0]?.includes(name));
    assert.ok(!said[0]?.includes('turns.yaml'));
  });

  test('gives the same report each time', async (t) => {
    const config = { 'a.yaml': 'policy: {type: lmcache_aware, lookup_mode: prefix_lookup}\n' };
    const rates = async (): Promise<readonly number[]> =>
      (await replayed(t, config)).model.placements.map((row) => row.hit_rate);
    assert.deepEqual(await rates(), await rates());
  });
});
