import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Contender } from '../fleet/experiment.ts';
import { COLUMNS } from './columns.ts';
import { parseContenders } from './contenders.ts';
import { htmlReport } from './html-report.ts';
import { jsonReport } from './json-report.ts';
import { SIMULATE_DEFAULTS, type SimulateOptions } from './options.ts';
import { runStudies, type Study } from './study.ts';
import { heatMap } from '../../report/svg/heat-map.ts';
import { lineChart, X_SPAN, Y_SPAN } from '../../report/svg/line-chart.ts';
import { element, escapeText } from '../../report/svg/markup.ts';
import { linearScale, logScale } from '../../report/svg/scale.ts';
import { textReport } from './text-report.ts';
import { tagsOf } from '../../../test/support/tags.ts';

const HOSTILE = `<img src=x onerror="alert(1)">&'`;
const OPTIONS: SimulateOptions = {
  ...SIMULATE_DEFAULTS,
  ...{ requests: 80, workers: 3, seeds: 3, speeds: [1, 3], policies: [HOSTILE] },
};

function study(options: SimulateOptions = OPTIONS, name = HOSTILE): readonly Study[] {
  const parsed = parseContenders(['least_work', 'random']);
  assert.ok(typeof parsed !== 'string');
  const contenders: Contender[] = parsed.map((one, index) => (index === 0 ? { ...one, name } : one));
  const steps = runStudies(options, contenders, undefined);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

describe('the page', () => {
  const studies = study();
  const page = htmlReport(studies, OPTIONS);
  const tags = tagsOf(page);

  it('is well formed, with every id once and every reference to one that is there', () => {
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length);
    const references = [...page.matchAll(/aria-labelledby="([^"]+)"/g)].flatMap(([, list = '']) =>
      list.split(' '),
    );
    assert.ok(references.length > 10);
    assert.deepEqual(
      references.filter((id) => !ids.includes(id)),
      [],
    );
  });

  it('asks nobody for anything', () => {
    assert.ok(!/\b(?:src|href|action)=|url\(|@import|https?:/.test(page.replaceAll(escapeText(HOSTILE), '')));
    assert.ok(page.includes('default-src &#39;none&#39;'));
  });

  it('has names as text, whatever is in them', () => {
    assert.ok(!page.includes('<img'));
    assert.ok(page.includes(escapeText(HOSTILE)));
  });

  it('has no number that is none in a picture', () => {
    for (const tag of tags) assert.ok(!/NaN|Infinity|undefined/.test(tag), tag);
    assert.ok(!/>\s*(?:NaN|Infinity|undefined)/.test(page));
  });

  it('has pictures with titles and a table for each', () => {
    const pictures = page.match(/<svg [^>]*role="img"/g) ?? [];
    // Two knees; per speed two distributions and one map for each policy.
    assert.equal(pictures.length, 2 + 2 * (2 + 2));
    assert.equal((page.match(/<summary>as a table<\/summary>/g) ?? []).length, pictures.length);
    assert.equal((page.match(/<svg [^>]*role="img"[^>]*><title /g) ?? []).length, pictures.length);
    for (const scope of ['col', 'row']) assert.ok(page.includes(`<th scope="${scope}">`));
  });

  it('shows every number with its interval, says what it means and what it was made from', () => {
    const [first] = studies;
    const hits = first?.rows[0]?.runs.map(({ hitRate }) => 100 * hitRate) ?? [];
    const mean = (hits.reduce((sum, one) => sum + one, 0) / hits.length).toFixed(1);
    assert.ok(page.includes(`>${mean}<span class="pm"> ±`), mean);
    for (const { title, about } of COLUMNS) {
      assert.ok(page.includes(`<th scope="col">${escapeText(title)}</th>`), title);
      assert.ok(page.includes(escapeText(about)), title);
    }
    assert.ok(page.includes((100 * (first?.oracle.unlimited ?? 0)).toFixed(1)));
    assert.ok(page.includes('--generate poisson_chats'));
    assert.ok(page.includes('--seeds 3'));
  });

  it('lets every table scroll where it is wider than the page, with its caption and the names in place', () => {
    const tables = page.match(/<table>/g) ?? [];
    assert.ok(tables.length > 10);
    assert.equal((page.match(/<div class="scroll"><table><caption><span>/g) ?? []).length, tables.length);
    assert.match(page, /\.scroll \{ overflow-x: auto/);
    assert.match(page, /caption span \{ position: sticky; left: 0/);
    assert.match(page, /th:first-child \{ position: sticky; left: 0/);
  });

  it('is the same every time', () => {
    assert.equal(htmlReport(study(), OPTIONS), page);
  });

  it('tells policies apart in light and dark, and hides those that are not wanted', () => {
    assert.match(page, /prefers-color-scheme: dark/);
    assert.equal((page.match(/<input type="checkbox"/g) ?? []).length, 2);
    for (const style of ['0', '1']) assert.ok(page.includes(`data-series="${style}"`));
  });
});

describe('a page of one seed, one speed and nobody to serve', () => {
  it('has no knee, no intervals and no broken picture', () => {
    const options = { ...OPTIONS, requests: 5, seeds: 1, speeds: [1], kvTokens: 1024, workers: 1 };
    const dead = { ...options, kills: [{ worker: 1, atMs: 0 }] };
    for (const [given, rejected] of [
      [options, undefined],
      [dead, 1],
    ] as const) {
      const studies = study(given, 'x');
      if (rejected !== undefined) assert.equal(studies[0]?.rows[0]?.runs[0]?.rejectedShare, rejected);
      const page = htmlReport(studies, given);
      for (const tag of tagsOf(page)) assert.ok(!/NaN|Infinity|undefined/.test(tag), tag);
      assert.ok(!page.includes('The knee'));
      assert.ok(!page.includes('class="pm"'));
      assert.doesNotMatch(page, /first seed|over the seeds/i);
      if (rejected !== undefined) assert.ok(page.includes('No request had a time to first token'));
      JSON.stringify(jsonReport(studies, given));
    }
  });

  it('is small for a large fleet', () => {
    const options = { ...OPTIONS, requests: 600, seeds: 1, speeds: [1], workers: 512, ratePerSecond: 200 };
    const page = htmlReport(study(options), options);
    assert.ok(page.length < 250_000, `${page.length} characters`);
    tagsOf(page);
  });
});

describe('the other reports', () => {
  const studies = study();

  it('are a table with the oracles below the policies', () => {
    const lines = textReport(studies.slice(0, 1)).split('\n');
    assert.match(lines[0] ?? '', /^poisson_chats: 80 requests, speed 1$/);
    assert.deepEqual(
      lines.slice(2, 6).map((line) => line.split(/\s{2,}/)[0]),
      [HOSTILE, 'random', '(one shared cache)', '(most possible)'],
    );
    assert.match(lines[2] ?? '', / \d+\.\d ±\d+\.\d/);
  });

  it('fit into 120 columns of a terminal, whatever the names and numbers; wide ones have every column', () => {
    const name = `cache_aware:${'parameter=1;'.repeat(7)}`;
    const slow = { ...OPTIONS, requests: 300, workers: 1, seeds: 2, speeds: [1, 2, 3, 4, 5, 6, 7, 8] };
    const many = study(slow, name);
    const lines = textReport(many).split('\n');
    for (const line of lines) assert.ok(line.length <= 120, `${String(line.length)}: ${line}`);
    assert.equal(
      lines.filter((line) => line === name).length,
      8 + 1,
      'in each table, and where that of the goodput leaves it no room',
    );
    for (const kept of ['hit %', 'TTFT p50 s', 'p90', 'good %', 'rejected %'])
      assert.ok(lines[1]?.includes(kept), kept);
    assert.match(lines.at(-2) ?? '', /^left out to fit into a line: .*E2E p90 s.*; --wide shows all$/);
    const wide = textReport(many, true).split('\n');
    for (const { short } of COLUMNS) assert.ok(wide[1]?.includes(short), short);
    assert.ok(!wide.some((line) => line.startsWith('left out')));
  });

  it('have the goodput of each policy over the speeds, where there are several', () => {
    const lines = textReport(studies).split('\n');
    const at = lines.indexOf('goodput/s at each speed');
    assert.match(lines[at + 1] ?? '', /^policy +speed 1 +speed 3$/);
    assert.match(lines[at + 3] ?? '', /^random +\d+\.\d\d ±\d+\.\d\d +\d+\.\d\d ±/);
    assert.ok(!textReport(studies.slice(0, 1)).includes('goodput/s at each speed'));
  });

  it('are JSON with means, runs and how to make it again', () => {
    const report = JSON.parse(JSON.stringify(jsonReport(studies, OPTIONS))) as {
      command: string;
      studies: {
        policies: { means: Record<string, { mean: number; plus_minus: number }>; runs: unknown[] }[];
      }[];
    };
    assert.ok(report.command.startsWith('vllm-router simulate --'));
    const [policy] = report.studies[0]?.policies ?? [];
    assert.equal(policy?.runs.length, 3);
    assert.ok((policy?.means['ttft_p90_ms']?.mean ?? 0) > 0);
    assert.ok((policy?.means['ttft_p90_ms']?.plus_minus ?? -1) >= 0);
  });
});

describe('comparisons', () => {
  it('serve the longest requests of every seed', () => {
    // The engines are the same for all seeds; the longest prompt of the first must not be their limit.
    const [one] = study({ ...OPTIONS, seeds: 6, speeds: [1] });
    for (const row of one?.rows ?? []) for (const run of row.runs) assert.equal(run.rejectedShare, 0);
  });

  it('hold every seed against the oracle of its own trace', () => {
    const options = { ...OPTIONS, speeds: [1] };
    const single = [1, 2, 3].map((seeds) => study({ ...options, seeds })[0]?.oracle.unlimited ?? NaN);
    assert.notEqual(single[0], single[2]);
    for (const { rows, oracle } of study(options)) {
      for (const { runs } of rows) {
        const mean = runs.reduce((sum, { hitRate }) => sum + hitRate, 0) / runs.length;
        assert.ok(mean <= oracle.unlimited);
      }
    }
  });
});

describe('pictures', () => {
  it('put values where their scale says, and never outside', () => {
    const linear = linearScale(7, [0, 100]);
    assert.deepEqual(
      linear.ticks.map(({ label }) => label),
      ['0', '2', '4', '6', '8'],
    );
    assert.equal(linear.place(4), 50);
    assert.equal(linear.place(99), 100);
    assert.deepEqual(
      linearScale(0.3, [0, 1]).ticks.map(({ label }) => label),
      ['0', '0.1', '0.2', '0.3'],
    );
    const log = logScale(0.01, 100, [0, 400]);
    assert.equal(Math.round(log.place(1)), 200);
    assert.equal(log.place(0), 0);
    assert.deepEqual(
      log.ticks.map(({ label }) => label),
      ['0.01', '0.03', '0.1', '0.3', '1', '3', '10', '30', '100'],
    );
    for (const scale of [
      linearScale(-Infinity, [0, 1]),
      logScale(Infinity, -Infinity, [0, 1]),
      logScale(5, 5, [0, 1]),
    ])
      for (const { value } of scale.ticks) assert.ok(Number.isFinite(scale.place(value)));
  });

  it('leave out points that are no numbers', () => {
    const chart = lineChart({
      ...{ id: 'a', title: 't', description: 'd', xLabel: 'x', yLabel: 'y', marked: true },
      ...{ x: linearScale(10, X_SPAN), y: linearScale(10, Y_SPAN) },
      series: [
        {
          name: 'one',
          style: 0,
          points: [
            { x: 0, y: 10, plusMinus: 1 },
            { x: 5, y: NaN },
            { x: 10, y: 0 },
          ],
        },
        { name: 'none', style: 9, points: [{ x: NaN, y: 1 }] },
      ],
    });
    assert.ok(chart.includes(`d="M${X_SPAN[0]} ${Y_SPAN[1]}L${X_SPAN[1]} ${Y_SPAN[0]}"`), chart);
    assert.equal((chart.match(/<circle/g) ?? []).length, 2);
    assert.ok(!chart.includes('none'));
    tagsOf(chart);
  });

  it('merge cells of one level into one box', () => {
    const map = heatMap({
      ...{ id: 'm', title: 't', description: 'd', rowLabels: ['1', '2'], most: 8, endLabel: '9 s' },
      rows: [
        [0, 8, 8, 8],
        [1, 1, 0, 0],
      ],
    });
    assert.deepEqual(
      [...map.matchAll(/class="q(\d)" d="([^"]*)"/g)].map(([, level, d = '']) => [
        level,
        d.split('M').length - 1,
      ]),
      [
        ['1', 1],
        ['8', 1],
      ],
    );
    tagsOf(map);
    tagsOf(heatMap({ id: 'e', title: '', description: '', rowLabels: [], rows: [], most: 0, endLabel: '' }));
  });

  it('are made of escaped text', () => {
    assert.equal(
      element('a', { b: '"<&', c: 1.239, d: undefined }, escapeText('<&>')),
      '<a b="&quot;&lt;&amp;" c="1.24">&lt;&amp;&gt;</a>',
    );
  });
});
