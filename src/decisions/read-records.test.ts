import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readRecords } from './read-records.ts';

const V1 = { timestamp: '2026-01-02T03:04:06.000Z', route: '/v1/completions', status: 200, duration_ms: 500 };
const V3 = {
  ...V1,
  schema_version: 3,
  worker: 'http://a',
  tenant: 't',
  cache_status: null,
  request_text: 'hi',
};
const V4 = {
  ...V1,
  schema_version: 4,
  worker: 'http://a',
  total_ms: 900,
  ttft_ms: 300,
  attempts: [{ duration_ms: 2 }, { duration_ms: 800 }],
  prompt_tokens: 1030,
  block_hashes: Buffer.from([1, 0, 0, 0, 2, 0, 0, 0]).toString('base64'),
  block_tokens: 512,
};

/** A member of `candidates_rest` is all that is new. */
const V5 = { ...V4, schema_version: 5, candidates_rest: { count: 3, not_scored: 2, excluded: {} } };

function write(t: TestContext, name: string, content: string | Buffer): string {
  const dir = mkdtempSync(join(tmpdir(), 'records-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}

const lines = (...records: object[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

test('reads records of every version, over several files, compressed or not', async (t) => {
  const old = write(t, 'old.jsonl.gz', gzipSync(lines(V1, { ...V1, schema_version: 2 }, V3)));
  const recent = write(t, 'new.jsonl', `\n${lines(V4, V5)}`);
  const { records, problemCount, torn } = await readRecords([old, recent]);
  assert.deepEqual(
    records.map(({ version }) => version),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual([problemCount, torn], [0, []]);
  const [first, , third, fourth, fifth] = records;
  // Stamped at the end up to version 3, at the arrival in version 4.
  assert.equal(first?.arrivedAt, Date.parse(V1.timestamp) - 500);
  assert.deepEqual([third?.worker, third?.requestText, third?.totalMs], ['http://a', 'hi', 500]);
  assert.equal(fourth?.arrivedAt, Date.parse(V4.timestamp));
  assert.deepEqual([fourth.totalMs, fourth.attempts, fourth.lastAttemptMs], [900, 2, 800]);
  assert.deepEqual([...(fourth.blockHashes ?? [])], [1, 2]);
  assert.deepEqual({ ...fifth, version: 4 }, fourth);
});

test('says what is wrong with a line and where, and uses the others', async (t) => {
  const bad: readonly [object | string, string][] = [
    ['{"schema_version":4', 'not valid JSON'],
    ['[1]', 'not a JSON object'],
    [{ ...V4, schema_version: 6 }, 'schema version 6 is newer than what is known here (5)'],
    [{ ...V4, schema_version: 'x' }, 'no schema version: "x"'],
    [{ ...V4, timestamp: 'never' }, 'timestamp is not a time'],
    [{ ...V4, total_ms: -1 }, 'total_ms is not a number from 0 up'],
    [{ ...V4, worker: 7 }, 'worker is not a text'],
    [{ ...V4, block_hashes: '!' }, 'block_hashes is not what a router writes'],
    [{ ...V4, block_tokens: 0 }, 'block_tokens is 0'],
    [{ timestamp: 1, input_length: 3 }, 'duration_ms is missing: not a decision record'],
  ];
  const text = bad.map(([line]) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  const file = write(t, 'mixed.jsonl', `${lines(V4)}${text}\n${lines(V1)}`);
  const { records, problems } = await readRecords([file]);
  assert.equal(records.length, 2);
  assert.deepEqual(
    problems,
    bad.map(([, message], index) => ({ file, line: index + 2, message })),
  );
});

test('a last line that is cut is no problem; one that only lacks its end is read', async (t) => {
  const cut = write(t, 'cut.jsonl', `${lines(V4)}{"schema_version":4,"timest`);
  const bare = write(t, 'bare.jsonl', lines(V4, V4).trimEnd());
  const { records, problemCount, torn } = await readRecords([cut, bare]);
  assert.deepEqual([records.length, problemCount, torn], [3, 0, [cut]]);
});

test('a compressed file that is cut gives what can be read of it', async (t) => {
  const whole = gzipSync(
    lines(...Array.from({ length: 5000 }, (_, n) => ({ ...V4, request_id: `${n * n}` }))),
  );
  const file = write(t, 'cut.jsonl.gz', whole.subarray(0, whole.length >> 1));
  const { records, problems } = await readRecords([file]);
  assert.ok(records.length > 100, `${records.length} records`);
  assert.match(problems[0]?.message ?? '', /damaged from here on/);
  const text = write(t, 'text.jsonl.gz', lines(V4));
  assert.match((await readRecords([text])).problems[0]?.message ?? '', /damaged/);
});

test('a file that is not there is an error, and one line without end does not fill the memory', async (t) => {
  await assert.rejects(readRecords(['/nowhere/d.jsonl']), { code: 'ENOENT' });
  await assert.rejects(readRecords(['/nowhere/d.jsonl.gz']), { code: 'ENOENT' });
  const file = write(t, 'long.jsonl', `${'x'.repeat(17 * 1024 * 1024)}\n${lines(V4)}`);
  const { records, problems } = await readRecords([file]);
  assert.deepEqual([records.length, problems[0]?.message], [1, 'longer than any record']);
});
