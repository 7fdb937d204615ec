import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { DecisionLogSettings } from '../config/settings/settings.ts';
import { DecisionLog } from './decision-log.ts';

const SETTINGS: Omit<DecisionLogSettings, 'path'> = {
  intervalMs: 10_000,
  includeRequestText: false,
  candidates: 8,
  maxFileBytes: 1e9,
  maxFileAgeMs: 1e9,
  keepFiles: 3,
  maxWaitingBytes: 1e6,
};

function setUp(t: TestContext, more: Partial<DecisionLogSettings> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'decision-log-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const path = more.path ?? join(dir, 'd.jsonl');
  const clock = new VirtualClock(Date.UTC(2026, 0, 2));
  const troubles: unknown[] = [];
  const log = new DecisionLog(
    { ...SETTINGS, ...more, path },
    { clock, onTrouble: (error) => troubles.push(error) },
  );
  return { dir, path, clock, log, troubles };
}

function numbersIn(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      try {
        return [(JSON.parse(line) as { n: number }).n];
      } catch {
        return [];
      }
    });
}

/** Of all files of the log, compressed or not, in their order. */
function numbersOf(dir: string): number[] {
  const finished = readdirSync(dir).filter((name) => name !== 'd.jsonl');
  const texts = [...finished.sort(), 'd.jsonl'].map((name) => {
    const bytes = readFileSync(join(dir, name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  });
  return texts.flatMap(numbersIn);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe('the decision log', () => {
  it('goes on in a new file when the one it writes to is removed with its folder, or moved away', async (t) => {
    const base = setUp(t);
    const folder = join(base.dir, 'a', 'b');
    const { log, troubles } = setUp(t, { path: join(folder, 'd.jsonl') });
    await log.open();
    log.push({ n: 1 });
    await log.flush();
    rmSync(join(base.dir, 'a'), { recursive: true });
    log.push({ n: 2 });
    await log.flush();
    assert.deepEqual(numbersIn(readFileSync(join(folder, 'd.jsonl'), 'utf8')), [2]);
    renameSync(join(folder, 'd.jsonl'), join(folder, 'old'));
    log.push({ n: 3 });
    await log.flush();
    assert.deepEqual(numbersIn(readFileSync(join(folder, 'd.jsonl'), 'utf8')), [3]);
    assert.deepEqual([log.reopened, log.dropped, troubles], [2, 0, []]);
    // Where it cannot be made again, records wait.
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'in the way');
    log.push({ n: 4 });
    await log.flush();
    assert.deepEqual([troubles.length, log.reopened, log.dropped], [1, 3, 0]);
    rmSync(folder);
    await log.flush();
    await log.close();
    assert.deepEqual(numbersIn(readFileSync(join(folder, 'd.jsonl'), 'utf8')), [4]);
    assert.deepEqual([log.reopened, log.dropped], [3, 0]);
  });

  it('writes after the interval, and what is left at the end', async (t) => {
    const { log, clock, path } = setUp(t);
    await log.open();
    log.push({ n: 0 });
    log.push({ n: 1 });
    assert.equal(readFileSync(path, 'utf8'), '');
    clock.advance(10_000);
    await log.flush();
    assert.equal(readFileSync(path, 'utf8'), '{"n":0}\n{"n":1}\n');
    log.push({ n: 2 });
    await log.close();
    assert.deepEqual(numbersIn(readFileSync(path, 'utf8')), [0, 1, 2]);
    assert.equal(log.written, 3);
  });

  it('does not wait for the interval when much has come together', async (t) => {
    const { log, path } = setUp(t);
    await log.open();
    const long = 'x'.repeat(1000);
    for (const n of upTo(400)) log.push({ n, long });
    await log.flush();
    assert.deepEqual(numbersIn(readFileSync(path, 'utf8')), upTo(400));
    await log.close();
  });

  it('goes on where an earlier process stopped, also in the middle of a line', async (t) => {
    const { log, path } = setUp(t);
    writeFileSync(path, '{"n":0}\n{"n":1');
    await log.open();
    log.push({ n: 2 });
    await log.close();
    assert.equal(readFileSync(path, 'utf8'), '{"n":0}\n{"n":1\n{"n":2}\n');
  });

  it('closes, compresses and replaces a file that is large, and keeps so many of them', async (t) => {
    const { log, clock, dir } = setUp(t, { maxFileBytes: 100, keepFiles: 2 });
    await log.open();
    for (const n of upTo(5)) {
      log.push({ n, text: 'y'.repeat(100) });
      await log.flush();
      clock.advance(1);
    }
    await log.close();
    assert.equal(readdirSync(dir).filter((name) => name.endsWith('.gz')).length, 2);
    assert.deepEqual(numbersOf(dir), [3, 4]);
  });

  it('replaces a file that is old, at the next write', async (t) => {
    const { log, clock, dir } = setUp(t, { maxFileAgeMs: 60_000 });
    await log.open();
    log.push({ n: 0 });
    await log.flush();
    clock.advance(60_000);
    log.push({ n: 1 });
    await log.close();
    assert.deepEqual(numbersOf(dir), [0, 1]);
    assert.equal(readdirSync(dir).filter((name) => name.endsWith('.jsonl.gz')).length, 1);
  });

  it('compresses what an earlier process had closed only', async (t) => {
    const { log, dir } = setUp(t);
    writeFileSync(join(dir, 'd-20260101T000000000Z.jsonl'), '{"n":0}\n');
    writeFileSync(join(dir, 'd-other.jsonl'), 'not ours');
    await log.open();
    await log.close();
    assert.deepEqual(readdirSync(dir).sort(), ['d-20260101T000000000Z.jsonl.gz', 'd-other.jsonl', 'd.jsonl']);
  });

  it('keeps what a failing disk cannot take up to its bound, counts the rest, and catches up', async (t) => {
    const { log, clock, dir, path, troubles } = setUp(t, { maxWaitingBytes: 100, path: undefined as never });
    await log.open();
    // The file is gone with its folder, which cannot be made again: opening the next one fails.
    rmSync(dir, { recursive: true });
    writeFileSync(dir, 'in the way');
    log.reconfigure({ ...SETTINGS, maxWaitingBytes: 100, maxFileBytes: 1, path });
    log.push({ n: 0 });
    await log.flush();
    for (const n of upTo(30)) log.push({ n: n + 1 });
    await log.flush();
    assert.equal(troubles.length, 1, 'told once');
    assert.ok(
      log.dropped > 10 && log.waitingBytes <= 100,
      `${String(log.dropped)} ${String(log.waitingBytes)}`,
    );
    rmSync(dir);
    mkdirSync(dir);
    clock.advance(10_000);
    await log.flush();
    log.push({ n: 99 });
    await log.close();
    assert.equal(numbersOf(dir).at(-1), 99);
    assert.equal(existsSync(path), true);
  });

  it('rejects at the start when the file cannot be opened', async (t) => {
    const { log } = setUp(t, { path: '/proc/none/d.jsonl' });
    await assert.rejects(log.open());
  });

  it('keeps every record under a full disk in the middle of a write', async (t) => {
    if (!existsSync('/dev/full')) {
      t.skip('no /dev/full');
      return;
    }
    const { log } = setUp(t, { path: '/dev/full' });
    await log.open();
    log.push({ n: 0 });
    await log.flush();
    assert.equal(log.written, 0);
    assert.ok(log.waitingBytes > 0);
    await log.close();
    assert.equal(log.dropped, 1);
  });
});
