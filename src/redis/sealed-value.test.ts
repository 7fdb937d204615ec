import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sealed, unsealed } from './sealed-value.ts';

const VALUE = Buffer.from('an answer');

describe('a value that routers keep for each other', () => {
  it('comes back as it was, signed or not', () => {
    for (const secret of [undefined, 'shared']) {
      for (const value of [VALUE, Buffer.alloc(0), Buffer.alloc(100_000, 255)])
        assert.deepEqual(unsealed('k', sealed('k', value, secret), secret), { kind: 'value', value });
    }
  });

  it('is not taken from a version that writes it otherwise', () => {
    const bytes = sealed('k', VALUE, undefined);
    bytes[2] = 2;
    assert.deepEqual(unsealed('k', bytes, undefined), { kind: 'bad', reason: 'version' });
  });

  it('is not taken unsigned, signed by others, changed, or under another key where there is a secret', () => {
    const signed = sealed('k', VALUE, 'shared');
    const changed = Buffer.from(signed);
    changed[changed.length - 1]! ^= 1;
    for (const [key, bytes] of [
      ['k', sealed('k', VALUE, undefined)],
      ['k', sealed('k', VALUE, 'theirs')],
      ['k', changed],
      ['other', signed],
    ] as const)
      assert.deepEqual(unsealed(key, bytes, 'shared'), { kind: 'bad', reason: 'signature' });
  });

  it('is read by a router that has no secret, whoever signed it', () => {
    assert.equal(unsealed('k', sealed('k', VALUE, 'shared'), undefined).kind, 'value');
  });

  it('is nothing but bad whatever else stands there, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, isSecret) => {
        const opened = unsealed('k', Buffer.from(bytes), isSecret ? 'shared' : undefined);
        return opened.kind === 'bad' || bytes[0] === 0x76;
      }),
      { seed: 7, numRuns: 2000 },
    );
    assert.equal(unsealed('k', sealed('k', VALUE, 'shared').subarray(0, 20), 'shared').kind, 'bad');
  });
});
