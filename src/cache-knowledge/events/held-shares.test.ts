import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeldShares } from './held-shares.ts';

class Part {
  bytes = 0;
  given = 0;
  readonly #shares: HeldShares;

  constructor(shares: HeldShares) {
    this.#shares = shares;
  }

  take(bytes: number): boolean {
    const isTaken = this.#shares.take(this, bytes);
    if (isTaken) this.bytes += bytes;
    return isTaken;
  }

  giveUp(): void {
    const { bytes } = this;
    this.bytes = 0;
    this.given += 1;
    this.#shares.give(this, bytes);
  }
}

describe('room that several share', () => {
  it('is for whoever comes first while there is enough', () => {
    const shares = new HeldShares(100);
    const [one, other] = [new Part(shares), new Part(shares)];
    assert.ok(one.take(60) && other.take(40));
    assert.equal(shares.used, 100);
    one.giveUp();
    assert.equal(shares.used, 40);
  });

  it('is made by those that hold the most, never by those that hold less than who asks', () => {
    const shares = new HeldShares(100);
    const [large, small, late] = [new Part(shares), new Part(shares), new Part(shares)];
    assert.ok(large.take(70) && small.take(20));
    assert.ok(late.take(15));
    assert.deepEqual([large.given, small.given], [1, 0]);
    assert.equal(shares.used, 35);
    // Now it would be the largest itself.
    assert.equal(late.take(66), false);
    assert.deepEqual([shares.used, small.given, late.given], [35, 0, 0]);
  });

  it('refuses what is more than all of it, whoever holds what', () => {
    const shares = new HeldShares(100);
    const [one, other] = [new Part(shares), new Part(shares)];
    assert.ok(one.take(50));
    assert.equal(other.take(101), false);
    assert.equal(one.given, 0);
  });
});
