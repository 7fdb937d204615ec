import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wantsColours } from './colours.ts';

describe('colours', () => {
  for (const [what, isTTY, env, expected] of [
    ['on a terminal', true, {}, true],
    ['not in a pipe or file', false, {}, false],
    ['not where NO_COLOR is set', true, { NO_COLOR: '1' }, false],
    ['where NO_COLOR is empty, which means not set', true, { NO_COLOR: '' }, true],
    ['not on a terminal that cannot', true, { TERM: 'dumb' }, false],
    ['in a pipe where FORCE_COLOR is set', false, { FORCE_COLOR: '1' }, true],
    ['with FORCE_COLOR before NO_COLOR, as Node does', false, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    ['not where FORCE_COLOR is 0', true, { FORCE_COLOR: '0' }, false],
  ] as const)
    it(what, () => {
      assert.equal(wantsColours({ isTTY }, env), expected);
    });
});
