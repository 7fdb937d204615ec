import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RouterError } from '../../base/errors.ts';
import { readWorkerFilters } from './worker-filters.ts';

describe('the filters of a request', () => {
  it('are nothing where no header says so, also not for headers of the same length', () => {
    assert.equal(readWorkerFilters([]), undefined);
    assert.equal(readWorkerFilters(['Host', 'a', 'x-worker-prioritx', '5', 'x-max-cosu', '1']), undefined);
  });

  it('are read whatever the case of the names and the blanks around the values', () => {
    assert.deepEqual(readWorkerFilters(['X-Worker-Priority', ' 60 ']), {
      minPriority: 60,
      maxCost: Infinity,
    });
    assert.deepEqual(readWorkerFilters(['x-max-cost', '1.5']), { minPriority: -Infinity, maxCost: 1.5 });
    assert.deepEqual(readWorkerFilters(['X-MAX-COST', '0', 'x-worker-priority', '0']), {
      minPriority: 0,
      maxCost: 0,
    });
  });

  it('are of the first header where there are several', () => {
    assert.deepEqual(readWorkerFilters(['x-max-cost', '2', 'X-Max-Cost', '3']), {
      minPriority: -Infinity,
      maxCost: 2,
    });
  });

  for (const [header, value] of [
    ['x-worker-priority', ''],
    ['x-worker-priority', 'high'],
    ['x-worker-priority', '-1'],
    ['x-worker-priority', '1.5'],
    ['x-worker-priority', '4294967296'],
    ['x-worker-priority', '99999999999'],
    ['x-worker-priority', '0x10'],
    ['x-max-cost', ''],
    ['x-max-cost', 'NaN'],
    ['x-max-cost', 'Infinity'],
    ['x-max-cost', '-1'],
    ['x-max-cost', '1e3'],
    ['x-max-cost', '1,5'],
    ['x-max-cost', '.'],
  ] as const) {
    it(`refuse ${header}: ${value}`, () => {
      assert.throws(
        () => readWorkerFilters([header, value]),
        (error) =>
          error instanceof RouterError &&
          error.code === 'invalid_request' &&
          error.message.startsWith(header),
      );
    });
  }
});
