import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { SIMULATE_FLAGS } from '../simulate/study/flags.ts';
import { simulate } from './simulate.ts';

const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-simulate-'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const SMALL = ['--requests', '40', '--workers', '2', '--policies', 'random,least_work'];

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string; shown: number }> {
  let [out, err, shown] = ['', '', 0];
  const bar = { show: () => (shown += 1), clear: () => undefined };
  const code = await simulate(argv, { out: (text) => (out += text), err: (text) => (err += text), bar });
  return { code, out, err, shown };
}

function file(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

const line = (timestamp: number): string =>
  JSON.stringify({ timestamp, input_length: 700, output_length: 5, hash_ids: [timestamp] });

describe('vllm-router simulate', () => {
  it('prints a table, the same every time', async () => {
    const first = await run(...SMALL);
    assert.equal(first.code, 0, first.err);
    assert.match(
      first.out,
      /^poisson_chats: 40 requests, speed 1\npolicy +hit % .*\nrandom .*\nleast_work .*\n/,
    );
    assert.equal((await run(...SMALL)).out, first.out);
    assert.ok(first.shown >= 2);
  });

  it('prints JSON, and writes a page', async () => {
    const html = join(scratch, 'report.html');
    const { code, out, err } = await run(...SMALL, '--json', '--html', html);
    assert.equal(code, 0);
    assert.equal((JSON.parse(out) as { studies: unknown[] }).studies.length, 1);
    assert.equal(err, `report: ${html}\n`);
    assert.match(readFileSync(html, 'utf8'), /^<!doctype html>/);
  });

  it('says where a page cannot be written, before it has run anything', async () => {
    for (const [path, reason] of [
      [join(scratch, 'no', 'where.html'), 'there is no such directory'],
      [scratch, 'it is a directory'],
    ] as const) {
      const { code, out, err } = await run(...SMALL, '--html', path);
      assert.deepEqual([code, out], [1, '']);
      assert.equal(err, `vllm-router simulate: --html ${path} cannot be written: ${reason}\n`);
    }
  });

  it('where a page turns out not to be writable, the table is there', async () => {
    const { code, out, err } = await run(...SMALL, '--html', join(scratch, `${'x'.repeat(300)}.html`));
    assert.equal(code, 1);
    assert.match(out, /least_work/);
    assert.match(err, /^vllm-router simulate: --html .* cannot be written: ENAMETOOLONG\n$/);
  });

  it('explains every flag', async () => {
    const { code, out } = await run('--help');
    assert.equal(code, 0);
    const words = (text: string): string => text.replaceAll(/\s+/g, ' ');
    for (const line of out.split('\n')) assert.ok(line.length <= 120, line);
    for (const { name, about } of SIMULATE_FLAGS) {
      assert.ok(out.includes(`  ${name}`), name);
      assert.ok(words(out).includes(words(about)), name);
    }
  });

  it('refuses bad arguments with 2', async () => {
    assert.deepEqual(await run('--polices', 'x'), {
      ...{ code: 2, out: '', shown: 0 },
      err: 'vllm-router simulate: unknown argument --polices; did you mean --policies?\n',
    });
    const { code, err } = await run('--policies', 'least_wrok');
    assert.equal(code, 2);
    assert.equal(
      err,
      'vllm-router simulate: --policies: unknown policy least_wrok; did you mean least_work?\n',
    );
  });

  it('uses what can be read of a trace, and says what cannot, with line numbers', async () => {
    const path = file('mixed.jsonl', [line(0), 'oops', line(100), '{"timestamp": 3'].join('\n'));
    const { code, out, err } = await run('--trace', path, ...SMALL);
    assert.equal(code, 0);
    assert.match(out, /^mixed\.jsonl: 2 requests/);
    assert.equal(err, `${path}:2: not valid JSON\n${path}:4: not valid JSON\n`);
  });

  it('ends at the first such line with --strict', async () => {
    const path = file('strict.jsonl', [line(0), 'oops', line(100), 'oops'].join('\n'));
    const { code, out, err } = await run('--trace', path, '--strict', ...SMALL);
    assert.deepEqual([code, out, err], [1, '', `vllm-router simulate: ${path}:2: not valid JSON\n`]);
    assert.equal((await run('--trace', file('fine.jsonl', line(0)), '--strict', ...SMALL)).code, 0);
  });

  it('shows ten problems and counts the rest', async () => {
    const path = file('bad.jsonl', `${line(0)}\n${'oops\n'.repeat(500)}`);
    const { err } = await run('--trace', path, ...SMALL);
    assert.equal(err.split('\n').length, 12);
    assert.ok(err.endsWith(`${path}: and 490 more\n`));
  });

  it('says when nothing of a trace can be used, or nobody knows its format, or it is not there', async () => {
    const empty = file('empty.jsonl', 'oops\n');
    assert.match((await run('--trace', empty)).err, /empty\.jsonl: no request in it can be used\n$/);
    const text = file('trace.txt', line(0));
    assert.equal(
      (await run('--trace', text)).err,
      `vllm-router simulate: ${text}: give its format with --format\n`,
    );
    assert.equal((await run('--trace', text, '--format', 'mooncake', ...SMALL)).code, 0);
    const { code, err } = await run('--trace', join(scratch, 'none.csv'));
    assert.equal(code, 2);
    assert.equal(
      err,
      `vllm-router simulate: --trace ${join(scratch, 'none.csv')} cannot be read: there is no such file\n`,
    );
  });

  it('takes only the first requests of a trace where that was asked for', async () => {
    const path = file('long.jsonl', Array.from({ length: 90 }, (_, at) => line(at)).join('\n'));
    assert.match((await run('--trace', path, ...SMALL)).out, /^long\.jsonl: 40 requests/);
  });
});
