import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { createMetrics } from '../../observe/metrics.ts';
import { showLmcacheEvents } from './lmcache-events.ts';

describe("what LMCache's controller does", () => {
  it('is told once of each instance, and not without end where it names others with every list', () => {
    const lines: { message: string; fields: Record<string, unknown> }[] = [];
    const events = showLmcacheEvents(createMetrics(), recordingLog(lines));
    const list = (from: number) =>
      new Map(Array.from({ length: 500 }, (_, index) => [`inst-${from + index}`, 'unmapped'] as const));
    events.mapped(list(0));
    events.mapped(list(0));
    assert.equal(lines.length, 500);
    events.mapped(new Map([['inst-0', 'ambiguous']]));
    assert.equal(lines.length, 501);
    for (let from = 500; from < 10_000; from += 500) events.mapped(list(from));
    assert.equal(lines.length, 1025);
  });
});
