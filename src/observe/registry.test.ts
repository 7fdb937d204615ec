import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createMetrics } from './metrics.ts';
import { Registry } from './registry.ts';

interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

interface ParsedFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

/** Reads text format 0.0.4 character by character and refuses everything the format does not allow. */
function parseExposition(text: string): Map<string, ParsedFamily> {
  assert.ok(text === '' || text.endsWith('\n'), 'the last line ends with a newline');
  const families = new Map<string, ParsedFamily>();
  const seen = new Set<string>();
  let help: { name: string; text: string } | undefined;
  let current: { name: string; family: ParsedFamily } | undefined;
  for (const line of text.split('\n').slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/s.exec(line);
    if (comment) {
      const [, kind, name = '', rest = ''] = comment;
      assert.ok(!families.has(name), `${name} is described once`);
      if (kind === 'HELP') {
        help = { name, text: unescape(rest, 'help') };
        continue;
      }
      assert.equal(help?.name, name, 'HELP comes right before TYPE');
      assert.match(rest, /^(counter|gauge|histogram)$/);
      current = { name, family: { type: rest, help: help.text, samples: [] } };
      families.set(name, current.family);
      continue;
    }
    const sample = parseSample(line);
    assert.ok(current, 'samples follow their TYPE');
    const names =
      current.family.type === 'histogram'
        ? [`${current.name}_bucket`, `${current.name}_sum`, `${current.name}_count`]
        : [current.name];
    assert.ok(names.includes(sample.name), `${sample.name} belongs to ${current.name}`);
    const key = sample.name + JSON.stringify([...sample.labels].sort());
    assert.ok(!seen.has(key), `${key} appears once`);
    seen.add(key);
    current.family.samples.push(sample);
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

function parseSample(line: string): Sample {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
  assert.ok(name, `a sample has a name: ${line}`);
  const labels = new Map<string, string>();
  let at = name.length;
  if (line[at] === '{') {
    at++;
    do {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"/.exec(line.slice(at));
      assert.ok(label, `labels are well-formed: ${line}`);
      const [all, key = '', value = ''] = label;
      assert.ok(!labels.has(key), `label ${key} appears once`);
      labels.set(key, unescape(value, 'label'));
      at += all.length;
    } while (line[at++] === ',');
    assert.equal(line[at - 1], '}');
  }
  const rest = line.slice(at);
  assert.match(rest, /^ (\+Inf|-Inf|NaN|-?\d+(\.\d+)?(e[+-]\d+)?)$/);
  return { name, labels, value: Number(rest.trim().replace('Inf', 'Infinity')) };
}

function unescape(text: string, kind: 'help' | 'label'): string {
  return text.replace(/\\(.)/gs, (_, c: string) => {
    if (c === 'n') return '\n';
    assert.ok(c === '\\' || (c === '"' && kind === 'label'), `\\${c} is not an escape`);
    return c;
  });
}

function checkHistogram(family: ParsedFamily): void {
  const groups = new Map<string, { le: number; last: number; count?: number }>();
  for (const { name, labels, value } of family.samples) {
    const rest = JSON.stringify([...labels].filter(([key]) => key !== 'le'));
    const group = groups.get(rest) ?? { le: -Infinity, last: 0 };
    groups.set(rest, group);
    if (name.endsWith('_bucket')) {
      const text = labels.get('le') ?? '';
      const le = text === '+Inf' ? Infinity : Number(text);
      assert.ok(le > group.le, 'le ascends');
      assert.ok(value >= group.last, 'buckets are cumulative');
      group.le = le;
      group.last = value;
    } else if (name.endsWith('_count')) {
      assert.equal(group.le, Infinity, 'the last bucket is +Inf');
      assert.equal(value, group.last, '_count equals the +Inf bucket');
      group.count = value;
    }
  }
  for (const group of groups.values())
    assert.notEqual(group.count, undefined, 'every histogram has a _count');
}

async function scrape(registry: Registry): Promise<Map<string, ParsedFamily>> {
  return parseExposition(await registry.text());
}

describe('registry', () => {
  it('writes counters and gauges with their labels', async () => {
    const registry = new Registry();
    const requests = registry.counter('requests_total', 'Requests.', ['route', 'code']);
    requests.with('/a', '200').inc();
    requests.with('/a', '200').inc(2.5);
    requests.with('/b', '500').inc();
    registry.gauge('load', 'Load.', []).with().set(-3);
    assert.equal(
      await registry.text(),
      '# HELP requests_total Requests.\n# TYPE requests_total counter\n' +
        'requests_total{route="/a",code="200"} 3.5\nrequests_total{route="/b",code="500"} 1\n' +
        '# HELP load Load.\n# TYPE load gauge\nload -3\n',
    );
  });

  it('shows a family without labels before its first use, and a labelled one as a bare header', async () => {
    const registry = new Registry();
    registry.counter('a_total', 'A.', []);
    registry.counter('b_total', 'B.', ['x']);
    const families = await scrape(registry);
    assert.deepEqual(families.get('a_total')?.samples, [{ name: 'a_total', labels: new Map(), value: 0 }]);
    assert.deepEqual(families.get('b_total')?.samples, []);
  });

  it('brings any label value and help text back through a parser', async () => {
    const nasty = fc.string({
      unit: fc.constantFrom('a', '"', '\\', '\n', 'n', '{', '}', ',', '=', '\r', 'é', '🦊'),
    });
    await fc.assert(
      fc.asyncProperty(nasty, fc.uniqueArray(nasty, { minLength: 1 }), async (help, values) => {
        const registry = new Registry();
        const family = registry.counter('x_total', help, ['v']);
        values.forEach((value, i) => {
          family.with(value).inc(i + 1);
        });
        const parsed = (await scrape(registry)).get('x_total');
        assert.equal(parsed?.help, help);
        assert.deepEqual(
          parsed.samples.map(({ labels, value }) => [labels.get('v') ?? '', value]),
          values.map((value, i) => [value, i + 1]),
        );
      }),
    );
  });

  it('replaces what UTF-8 cannot carry', async () => {
    const registry = new Registry();
    registry.counter('x_total', 'X.', ['v']).with('a\ud800b').inc();
    assert.match(await registry.text(), /v="a\ufffdb"/);
  });

  it('counts every observation in the bucket where a slow count puts it', async () => {
    const values = fc.array(
      fc.oneof(fc.constantFrom(0, 0.5, 1, 2.5, 10, -1), fc.double({ noNaN: true, min: -5, max: 20 })),
    );
    await fc.assert(
      fc.asyncProperty(values, async (observed) => {
        const bounds = [0.5, 1, 2.5, 10];
        const registry = new Registry();
        const series = registry.histogram('h', 'H.', ['w'], bounds).with('x');
        for (const value of observed) series.observe(value);
        const samples = (await scrape(registry)).get('h')?.samples ?? [];
        const buckets = samples.filter((s) => s.name === 'h_bucket').map((s) => s.value);
        assert.deepEqual(
          buckets,
          [...bounds, Infinity].map((bound) => observed.filter((v) => v <= bound).length),
        );
        assert.equal(
          samples.find((s) => s.name === 'h_sum')?.value,
          observed.reduce((sum, v) => sum + v, 0),
        );
        assert.equal(series.count, observed.length);
      }),
    );
  });

  it('keeps apart histograms with equal buckets, with and without labels', async () => {
    const registry = new Registry();
    registry.histogram('plain', 'P.', [], [1]).with().observe(0.5);
    const text = await registry.text();
    assert.ok(
      text.includes('plain_bucket{le="1"} 1\nplain_bucket{le="+Inf"} 1\nplain_sum 0.5\nplain_count 1\n'),
    );
  });

  it('is not poisoned by values that are no numbers, infinite, or would make a counter fall', () => {
    const registry = new Registry();
    const counter = registry.counter('c_total', 'C.', []).with();
    const gauge = registry.gauge('g', 'G.', []).with();
    const histogram = registry.histogram('h', 'H.', [], [1]).with();
    counter.inc(2);
    gauge.set(5);
    for (const bad of [NaN, Infinity, -Infinity]) {
      counter.inc(bad);
      gauge.set(bad);
      gauge.inc(bad);
      histogram.observe(bad);
    }
    counter.inc(-1);
    assert.deepEqual([counter.value, gauge.value, histogram.count, histogram.sum], [2, 5, 0, 0]);
  });

  it('hands out one handle per set of label values', () => {
    const family = new Registry().gauge('g', 'G.', ['a', 'b']);
    assert.equal(family.with('x', 'y'), family.with('x', 'y'));
    assert.notEqual(family.with('x', 'y'), family.with('y', 'x'));
    assert.notEqual(family.with('xy', ''), family.with('x', 'y'));
  });

  it('leaves out a label whose value is empty', async () => {
    const registry = new Registry();
    registry.gauge('g', 'G.', ['a', 'b']).with('', 'y').set(1);
    assert.ok((await registry.text()).includes('\ng{b="y"} 1\n'));
  });

  it('refuses names Prometheus would refuse, and the same name twice', () => {
    const registry = new Registry();
    registry.counter('a_total', '', ['x']);
    assert.throws(() => registry.gauge('a_total', '', []), /exists already/);
    assert.throws(() => registry.gauge('1a', '', []), /bad metric name/);
    assert.throws(() => registry.gauge('a b', '', []), /bad metric name/);
    assert.throws(() => registry.gauge('ok', '', ['a-b']), /bad label name/);
    assert.throws(() => registry.histogram('ok', '', ['le'], [1]), /bad label name/);
    assert.throws(() => registry.histogram('ok', '', [], [1, 1]), RangeError);
    assert.throws(() => registry.histogram('ok', '', [], [1, NaN]), RangeError);
  });
});

describe('removing series', () => {
  it('removes one series, or all with a label value, and starts from zero when they come back', async () => {
    const registry = new Registry();
    const family = registry.counter('c_total', 'C.', ['route', 'worker']);
    for (const route of ['/a', '/b']) for (const worker of ['w1', 'w2']) family.with(route, worker).inc();
    assert.equal(family.remove('/a', 'w2'), true);
    assert.equal(family.remove('/a', 'w2'), false);
    assert.equal(family.removeWhere('worker', 'w1'), 2);
    assert.equal(family.removeWhere('worker', 'w1'), 0);
    const rest = (await scrape(registry)).get('c_total')?.samples;
    assert.deepEqual(rest, [
      {
        name: 'c_total',
        labels: new Map([
          ['route', '/b'],
          ['worker', 'w2'],
        ]),
        value: 1,
      },
    ]);
    assert.equal(family.with('/a', 'w1').value, 0);
  });

  it('agrees with a plain map under any order of updates and removals', () => {
    const value = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ op: fc.constant('inc' as const), x: value, y: value }),
      fc.record({ op: fc.constant('remove' as const), x: value, y: value }),
      fc.record({ op: fc.constant('where' as const), x: value, y: value }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const family = new Registry().counter('c_total', '', ['x', 'y']);
        const model = new Map<string, number>();
        for (const { op, x, y } of steps) {
          const key = x + y;
          if (op === 'inc') {
            family.with(x, y).inc();
            model.set(key, (model.get(key) ?? 0) + 1);
          } else if (op === 'remove') {
            assert.equal(family.remove(x, y), model.delete(key));
          } else {
            const gone = [...model.keys()].filter((k) => k.endsWith(y));
            assert.equal(family.removeWhere('y', y), gone.length);
            for (const k of gone) model.delete(k);
          }
        }
        assert.deepEqual(new Map([...family.series].map((s) => [s.labelValues.join(''), s.value])), model);
      }),
    );
  });

  it('keeps a retired label value away, in every family, until it is revived', async () => {
    const registry = new Registry();
    const counter = registry.counter('c_total', 'C.', ['worker']);
    const gauge = registry.gauge('g', 'G.', ['worker']);
    const held = counter.with('w1');
    held.inc();
    gauge.with('w1').set(1);
    gauge.with('w2').set(2);
    registry.retire('worker', 'w1');
    held.inc();
    counter.with('w1').inc();
    gauge.with('w1').set(9);
    const text = await registry.text();
    assert.ok(!text.includes('w1'));
    assert.ok(text.includes('g{worker="w2"} 2'));
    registry.revive('worker', 'w1');
    counter.with('w1').inc();
    assert.ok((await registry.text()).includes('c_total{worker="w1"} 1\n'));
  });

  it('remembers a bounded number of retired values', () => {
    const registry = new Registry();
    const counter = registry.counter('c_total', '', ['worker']);
    for (let i = 0; i <= 4096; i++) registry.retire('worker', `w${i}`);
    counter.with('w0').inc();
    counter.with('w1').inc();
    assert.deepEqual(
      [...counter.series].map((s) => s.labelValues[0]),
      ['w0'],
    );
  });

  it('stops growing at the limit, keeps counting what it has, and says what was dropped', () => {
    const dropped: string[] = [];
    const registry = new Registry({ maxSeriesPerFamily: 2, onDropped: (family) => dropped.push(family) });
    const counter = registry.counter('c_total', '', ['x']);
    for (const x of ['a', 'b', 'c', 'c', 'a']) counter.with(x).inc();
    assert.equal(counter.series.size, 2);
    assert.equal(counter.with('a').value, 2);
    assert.deepEqual(dropped, ['c_total', 'c_total']);
  });
});

describe('scraping', () => {
  it('runs collectors at each scrape, before the family is written', async () => {
    const registry = new Registry();
    const gauge = registry.gauge('g', 'G.', []);
    let reads = 0;
    const off = gauge.onCollect((family) => {
      family.with().set(++reads);
    });
    assert.ok((await registry.text()).includes('\ng 1\n'));
    assert.ok((await registry.text()).includes('\ng 2\n'));
    off();
    assert.ok((await registry.text()).includes('\ng 2\n'));
  });

  it('survives a collector that throws, and reports it', async () => {
    const errors: string[] = [];
    const registry = new Registry({
      onCollectError: (family, error) => errors.push(`${family}: ${String(error)}`),
    });
    registry.gauge('bad', 'B.', []).onCollect(() => {
      throw new Error('no');
    });
    registry.gauge('good', 'G.', []).with().set(1);
    assert.ok((await registry.text()).includes('\ngood 1\n'));
    assert.deepEqual(errors, ['bad: Error: no']);
  });

  it('gives the event loop a turn between pieces of bounded size, however many workers there are', async () => {
    const metrics = createMetrics();
    for (let i = 0; i < 2000; i++) {
      const worker = `http://10.0.${i >> 8}.${i & 255}:8000`;
      metrics.workerJoined(worker);
      metrics.workerRequestDurationSeconds.with('', worker).observe(1);
    }
    let turns = 0;
    let scraping = true;
    const tick = (): void => {
      turns++;
      if (scraping) setImmediate(tick);
    };
    setImmediate(tick);
    let pieces = 0;
    let longest = 0;
    for await (const piece of metrics.registry.expose()) {
      pieces++;
      longest = Math.max(longest, piece.length);
    }
    scraping = false;
    assert.ok(pieces > 50, `${pieces} pieces`);
    assert.ok(longest < 80_000, `a piece of ${longest} characters`);
    assert.ok(turns >= pieces - 1, `${turns} turns of the event loop for ${pieces} pieces`);
  });

  it('stays well-formed while series come and go under it', async () => {
    const registry = new Registry();
    const family = registry.counter('c_total', 'C.', ['worker']);
    const long = 'x'.repeat(1000);
    for (let i = 0; i < 500; i++) family.with(`${long}${i}`).inc();
    let text = '';
    let i = 0;
    for await (const piece of registry.expose()) {
      text += piece;
      family.remove(`${long}${i}`);
      family.remove(`${long}${499 - i}`);
      family.with(`new${i++}`).inc();
    }
    const samples = parseExposition(text).get('c_total')?.samples ?? [];
    assert.ok(i > 3);
    assert.ok(samples.length >= 500 - i && samples.length <= 500 + i);
  });

  it('exposes all series of the router in the strict format', async () => {
    const metrics = createMetrics({ version: '1.2.3' });
    metrics.workerJoined('http://w:8000@1');
    metrics.workerRequestDurationSeconds.with('/v1/chat/completions', 'http://w:8000@1').observe(0.2);
    const families = await scrape(metrics.registry);
    assert.equal(families.get('vllm_router_build_info')?.samples[0]?.labels.get('version'), '1.2.3');
    assert.equal(families.get('vllm_router_active_workers')?.samples[0]?.value, 1);
    assert.equal(
      families.get('vllm_router_worker_health')?.samples[0]?.labels.get('worker'),
      'http://w:8000@1',
    );
  });
});
