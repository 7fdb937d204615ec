import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fail, ok, quote, quoteAll, skipped, warn } from './finding.ts';
import { doctorReport, reportOf } from './report.ts';
import { textReport } from './text-report.ts';

const examinations = [
  {
    worker: 'http://gpu1:8000',
    results: [
      { check: 'reachable', ...ok('/health answered in 3 ms'), ms: 3 },
      { check: 'clock', ...warn('60 s behind', 'Use NTP.'), ms: 0 },
    ],
    cost: { requests: 2, prompt_tokens: 66, completion_tokens: 2 },
  },
  {
    worker: 'http://gpu2:8000',
    results: [
      { check: 'reachable', ...fail('no answer', 'Start it.'), ms: 1 },
      { check: 'clock', ...skipped('needs reachable'), ms: 0 },
    ],
    cost: { requests: 0, prompt_tokens: 0, completion_tokens: 0 },
  },
];

describe('the report of the doctor', () => {
  const report = reportOf(examinations, { checkedAt: Date.UTC(2026, 10, 30), router: undefined });

  it('is unhealthy where a check of one worker failed', () => {
    assert.deepEqual(doctorReport.parse(report), report);
    assert.deepEqual([report.healthy, ...report.workers.map(({ healthy }) => healthy)], [false, true, false]);
  });

  it('is a table for each worker, with the remedy below the finding', () => {
    assert.deepEqual(textReport(report, false).split('\n'), [
      'http://gpu1:8000',
      '  ok       reachable  /health answered in 3 ms',
      '  warn     clock      60 s behind',
      '                      Use NTP.',
      '',
      'http://gpu2:8000',
      '  fail     reachable  no answer',
      '                      Start it.',
      '  skipped  clock      needs reachable',
      '',
      '2 workers: 1 failed, 1 warned, 1 ok, 1 skipped. The probes were 2 requests of 66 prompt tokens and 2 generated ones.',
      '',
    ]);
  });

  it('colours the marks where it may', () => {
    assert.ok(textReport(report, true).includes('\u001b[31mfail   \u001b[0m'));
  });
});

describe('quote', () => {
  it('takes out what a terminal obeys and cuts what is long', () => {
    assert.equal(quote('a\u001b[2Jb\r\nc\u202e'), 'a [2Jb c');
    assert.equal(quote('x'.repeat(1000)).length, 163);
    assert.equal(quoteAll(['a', 'b', 'c', 'd', 'e', 'f', 'g']), 'a, b, c, d, e and 2 more');
  });
});
