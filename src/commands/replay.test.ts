import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { tagsOf } from '../../test/support/tags.ts';
import { replay } from './replay.ts';

const DATA = join(import.meta.dirname, '../../test/data');
/** Three simulated workers, `least_work`, four-turn conversations. */
const LOG = join(DATA, 'decisions.jsonl.gz');
const EXPECTED = join(DATA, 'replay-expected.txt');

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(...argv: string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await replay(argv, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    bar: { show: () => undefined, clear: () => undefined },
  });
  return { code, out, err };
}

function files(t: TestContext, contents: Readonly<Record<string, string>>): (name: string) => string {
  const dir = mkdtempSync(join(tmpdir(), 'replay-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(dir, name), text);
  return (name) => join(dir, name);
}

const lines = (...records: object[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');
const V3 = (n: number): object => ({
  schema_version: 3,
  timestamp: new Date(1.7e12 + 1000 * n).toISOString(),
  route: '/v1/chat/completions',
  status: 200,
  duration_ms: 100 + n,
  policy: 'cache_aware',
  method: 'policy',
  worker: `http://w${String(n % 2)}:8000`,
  request_text: `question ${String(n % 4)} ${'of some length '.repeat(20)}`,
});

describe('a committed log', () => {
  test('gives exactly the same report every time', async (t) => {
    const at = files(t, { 'a.yaml': 'policy: round_robin\n', 'b.yaml': 'policy: rendezvous_hash\n' });
    // Names that are as long as the temporary folder's leave room for more or fewer columns.
    const configs = ['--config', at('a.yaml'), '--config', at('b.yaml'), '--wide'];
    const { code, out } = await run('--decisions', LOG, ...configs);
    assert.equal(code, 0);
    const named = out.replaceAll(at('a.yaml'), 'a.yaml').replaceAll(at('b.yaml'), 'b.yaml');
    const unpadded = named.replaceAll(/ {2,}/g, '  ');
    if (process.env['WRITE_EXPECTED'] === '1') writeFileSync(EXPECTED, unpadded);
    assert.equal(unpadded, readFileSync(EXPECTED, 'utf8'));
  });

  test('in tables that fit into 120 columns of a terminal; --wide shows everything', async (t) => {
    const records = gunzipSync(readFileSync(LOG)).toString();
    const long = records.replaceAll('http://10.0.0.', 'http://vllm-decode-pool-of-the-west.cluster.local-');
    const name = `${'a-long-name-'.repeat(6)}.yaml`;
    const at = files(t, { 'd.jsonl': long, [name]: 'policy: least_work\n', 'b.yaml': 'policy: random\n' });
    const argv = ['--decisions', at('d.jsonl'), '--config', at(name), '--config', at('b.yaml')];
    const narrow = (await run(...argv)).out.replaceAll(at(''), '').split('\n');
    const prose = /^note: |^Some requests|^decided by/;
    for (const line of narrow.filter((one) => !prose.test(one)))
      assert.ok(line.length <= 120, `${String(line.length)}: ${line}`);
    assert.ok(narrow.some((line) => line.startsWith('left out to fit into a line: ')));
    const wide = (await run(...argv, '--wide')).out;
    assert.match(wide, /busiest\/mean +Gini +preemptions +hit error %/);
    assert.doesNotMatch(wide, /left out/);
  });

  test('as one page with tables, curves, load over time and choices that would change', async (t) => {
    const at = files(t, { 'a<b>.yaml': 'policy: round_robin\n' });
    const page = at('page.html');
    const { code, err } = await run('--decisions', LOG, '--config', at('a<b>.yaml'), '--html', page);
    assert.equal(code, 0, err);
    const html = readFileSync(page, 'utf8');
    const tags = tagsOf(html);
    assert.doesNotMatch(html, /NaN|undefined|https?:\/\/(?!10\.0\.0\.|www\.w3\.org)/);
    assert.match(html, /a&lt;b&gt;\.yaml/);
    // Two distributions, and a map of each modelled placement: the recorded one and the config's.
    assert.equal(tags.filter((tag) => /^<svg(?=[^>]*aria-labelledby)/.test(tag)).length, 4);
    for (const text of ['recorded placement', 'measured', 'Load of each worker', 'would change'])
      assert.ok(html.includes(text), text);
    // Workers by their names, in the maps and in the tables; and nothing of seeds, for there are none.
    for (const worker of ['10.0.0.1:8000', '10.0.0.2:8000', '10.0.0.3:8000']) {
      assert.ok(html.includes(`text-anchor="end">${worker}</text>`), `${worker} beside its row of a map`);
      assert.ok(html.includes(`<th scope="row">http://${worker}</th>`), `${worker} in the tables`);
    }
    assert.doesNotMatch(html, /\bseed/);
    assert.match(html, /Engine speeds as the log shows them<.*>prefill tok\/s<.*>all</s);
    const unwritable = await run(
      '--decisions',
      LOG,
      '--config',
      at('a<b>.yaml'),
      '--html',
      at('none/page.html'),
    );
    assert.deepEqual(
      [
        unwritable.code,
        /--html .* cannot be written: there is no such directory/.test(unwritable.err),
        unwritable.out,
      ],
      [1, true, ''],
    );
  });

  test('under kv_aware: the modelled engines tell what they hold, and the report says so', async (t) => {
    const at = files(t, {
      'kv.yaml': 'policy: {type: kv_aware, load_bounded: false}\n',
      'turns.yaml': 'policy: round_robin\n',
      'predicted.yaml': 'policy: {type: kv_aware, cache_knowledge: predicted}\n',
    });
    const configs = ['kv.yaml', 'turns.yaml', 'predicted.yaml'].flatMap((name) => ['--config', at(name)]);
    const { code, out, err } = await run('--decisions', LOG, ...configs, '--json');
    assert.equal(code, 0, err);
    const { model, notes } = JSON.parse(out) as {
      model: { placements: { hit_rate: number }[] };
      notes: string[];
    };
    const [, , kv, turns] = model.placements.map(({ hit_rate }) => hit_rate);
    assert.ok(kv !== undefined && turns !== undefined && kv > turns + 0.1, `${kv} and ${turns}`);
    const said = notes.filter((note) => note.startsWith('the log has no events of caches'));
    assert.equal(said.length, 1);
    assert.ok(said[0]?.includes('kv.yaml') && !said[0].includes('predicted.yaml'));
  });

  test('under the policy that made it: nearly the same choices, and the model is near what was measured', async (t) => {
    const at = files(t, { 'a.yaml': 'policy: least_work\n' });
    const { code, out } = await run('--decisions', LOG, '--config', at('a.yaml'), '--json');
    assert.equal(code, 0);
    const { replayed, configs, model, workers } = JSON.parse(out) as {
      replayed: number;
      workers: string[];
      configs: { same: number; different: number; none: number; changes: object[] }[];
      model: {
        ttft: { median_error: number; rank_correlation: number };
        e2e: { median_error: number; rank_correlation: number };
        speeds: { all: Record<string, number> };
        placements: { placement: string; hit_rate: number }[];
      };
    };
    const [first] = configs;
    assert.ok(first);
    const { same, different, none, changes } = first;
    assert.deepEqual([replayed, same + different + none, workers.length], [240, 240, 3]);
    assert.ok(same / replayed > 0.85, `${String(same)} the same`);
    assert.ok(changes.length <= 20);
    assert.ok(model.ttft.median_error < 0.2 && model.ttft.rank_correlation > 0.85);
    assert.ok(model.e2e.median_error < 0.1 && model.e2e.rank_correlation > 0.9);
    // The engines ran five times as fast as 8,000 tokens/s and 6 ms + 0.35 ms per request.
    const { prefillTokensPerSecond = 0, decodeBaseMs = 0, decodePerRequestMs = 0 } = model.speeds.all;
    assert.ok(Math.abs(prefillTokensPerSecond / 40_000 - 1) < 0.05, String(prefillTokensPerSecond));
    assert.ok(Math.abs(decodeBaseMs + 4 * decodePerRequestMs - 1.48) < 0.1);
    assert.deepEqual(
      model.placements.map(({ placement }) => placement),
      ['measured', 'recorded placement', at('a.yaml')],
    );
  });

  test('speeds from the command line go before those of the log', async (t) => {
    const at = files(t, { 'a.yaml': 'policy: round_robin\n' });
    const slow = ['--prefill-rate', '4000', '--decode-base-ms', '12', '--decode-per-request-ms=0.7'];
    const { out } = await run('--decisions', LOG, '--config', at('a.yaml'), '--json', ...slow);
    const { model } = JSON.parse(out) as { model: { e2e: { median_error: number } } };
    assert.ok(model.e2e.median_error > 5, 'ten times as slow as they were');
  });
});

describe('the command line', () => {
  test('a log that is not there is told with its flag, exit code 2', async (t) => {
    const at = files(t, { 'a.yaml': 'policy: round_robin\n' });
    for (const [path, why] of [
      [at('none'), 'there is no such file'],
      [at(''), 'it is a directory'],
    ] as const) {
      const { code, out, err } = await run('--decisions', LOG, path, '--config', at('a.yaml'));
      assert.deepEqual([code, out], [2, '']);
      assert.equal(err, `vllm-router replay: --decisions ${path} cannot be read: ${why}\n`);
    }
  });

  test('the configuration may be called by every name that the server knows', async (t) => {
    const at = files(t, { 'a.yaml': 'policy: round_robin\n' });
    const said = new Set<string>();
    for (const spelling of [['--config'], ['--config-file'], ['-c']])
      said.add((await run('--decisions', LOG, ...spelling, at('a.yaml'))).out);
    said.add((await run('--decisions', LOG, `--config-file=${at('a.yaml')}`)).out);
    assert.equal(said.size, 1);
    assert.match([...said].join(), /round_robin|a\.yaml/);
  });
});

describe('older and damaged logs', () => {
  test('records of version 3 are decided again, without estimates of latencies', async (t) => {
    const records = Array.from({ length: 40 }, (_, n) => V3(n));
    const at = files(t, { 'd.jsonl': lines(...records), 'a.yaml': 'policy: consistent_hash\n' });
    const { code, out } = await run('--decisions', at('d.jsonl'), '--config', at('a.yaml'));
    assert.equal(code, 0);
    assert.match(out, /40 records, 40 replayed on 2 workers/);
    assert.match(out, /P50 120 {2}P90 136 {2}P99 139/);
    assert.match(out, /decided by: cache_aware 40 \(100\.0%\)/);
    assert.match(out, /note: records before version 4/);
    assert.match(out, /note: no estimate of latencies/);
    assert.doesNotMatch(out, /worker model, under/);
  });

  test('lines that cannot be used are told with their number; --strict ends there', async (t) => {
    const text = `${lines(V3(0))}oops\n${lines(V3(1))}{"schema_version":9}\n${lines(V3(2))}{"cut`;
    const at = files(t, { 'd.jsonl': text, 'a.yaml': 'policy: random\n' });
    const argv = ['--decisions', at('d.jsonl'), '--config', at('a.yaml')];
    const { code, out, err } = await run(...argv);
    assert.equal(code, 0);
    assert.match(out, /^3 records/);
    assert.ok(err.includes(`${at('d.jsonl')}:2: not valid JSON\n`));
    assert.ok(err.includes(`${at('d.jsonl')}:4: schema version 9 is newer`));
    assert.ok(err.includes(`note: the last line of ${at('d.jsonl')} is cut`));
    const strict = await run(...argv, '--strict');
    assert.deepEqual([strict.code, strict.out], [1, '']);
    assert.equal(strict.err, `vllm-router replay: ${at('d.jsonl')}:2: not valid JSON\n`);
  });

  test('models on different workers are not mixed', async (t) => {
    const of = (n: number, model: string): object => ({ ...V3(n), worker: `http://${model}:8000`, model });
    const text = lines(of(0, 'a'), of(1, 'a'), of(2, 'b'));
    const at = files(t, { 'd.jsonl': text, 'a.yaml': 'policy: random\n' });
    const argv = ['--decisions', at('d.jsonl'), '--config', at('a.yaml')];
    const { out, err } = await run(...argv);
    assert.match(err, /2 models on different workers; only a is replayed/);
    assert.match(out, /^2 records, 2 replayed on 1 workers/);
    assert.match((await run(...argv, '--model', 'b')).out, /^1 records/);
    assert.match((await run(...argv, '--model', 'c')).err, /no record of model c; there are a, b/);
  });

  test('rotated segments, one after the other, are one log', async (t) => {
    const [first = '', ...rest] = gunzipSync(readFileSync(LOG))
      .toString()
      .split(/(?<=\n)/);
    const at = files(t, { '1.jsonl': rest.join(''), '2.jsonl': first, 'a.yaml': 'policy: round_robin\n' });
    const whole = await run('--decisions', LOG, '--config', at('a.yaml'));
    const split = await run('--decisions', at('1.jsonl'), at('2.jsonl'), '--config', at('a.yaml'));
    assert.equal(split.out, whole.out);
  });
});

describe('the command line', () => {
  test('--help explains itself', async () => {
    const { code, out } = await run('--help');
    assert.equal(code, 0);
    assert.match(out, /--decisions FILE[\s\S]*--config FILE[\s\S]*--strict/);
  });

  test('what is wrong or missing is said, with the usage', async () => {
    for (const [argv, message] of [
      [['--decision', 'x'], /unknown argument --decision; did you mean --decisions/],
      [['--config', 'x'], /--decisions FILE is missing/],
      [['--decisions', 'x'], /--config FILE is missing/],
      [['--decisions'], /--decisions: expected FILE/],
      [['--kv-tokens', 'many'], /--kv-tokens many: expected a number, at least 1024/],
      [['--json=1'], /--json takes no value/],
    ] as const) {
      const { code, out, err } = await run(...argv);
      assert.deepEqual([code, out], [2, ''], argv.join(' '));
      assert.match(err, message);
      assert.match(err, /vllm-router replay --decisions FILE --config FILE \[flags\]/);
    }
  });

  test('an empty file, and a bad configuration', async (t) => {
    const at = files(t, { 'e.jsonl': '\n', 'a.yaml': 'policy: random\n', 'bad.yaml': 'policy: nearest\n' });
    const empty = await run('--decisions', at('e.jsonl'), '--config', at('a.yaml'));
    assert.equal(empty.code, 1);
    assert.match(empty.err, /no record in it can be used/);
    const bad = await run('--decisions', LOG, '--config', at('a.yaml'), at('bad.yaml'));
    assert.equal(bad.code, 2);
    assert.match(bad.err, /bad\.yaml:1:9: .*nearest/);
    assert.equal((await run('--decisions', LOG, '--config', at('none.yaml'))).code, 2);
  });
});
