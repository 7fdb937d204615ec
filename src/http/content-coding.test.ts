import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { RouterError } from '../base/errors.ts';
import { BodyBytes } from './body.ts';
import { codingsOf, decodeBody, type Coding } from './content-coding.ts';

const PACK: Readonly<Record<Coding, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
};
const CODINGS = Object.keys(PACK) as Coding[];
const MIB = 1024 * 1024;

const packed = (bytes: Buffer, codings: readonly Coding[]): Buffer =>
  codings.reduce((sofar, coding) => PACK[coding](sofar), bytes);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof RouterError);
    return error.code;
  }
  return 'none';
}

describe('decoding', () => {
  it('is the way back, for one coding and two, and is accounted for', async () => {
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 200_000 }),
      fc.array(fc.constantFrom(...CODINGS), { minLength: 1, maxLength: 2 }),
      async (array, codings) => {
        const plain = Buffer.from(array);
        const held = new BodyBytes(MIB);
        const body = await decodeBody(packed(plain, codings), codings, { maxBytes: MIB }, held);
        assert.ok(body.bytes.equals(plain));
        assert.equal(held.held, plain.length);
        body.release();
        assert.equal(held.held, 0);
      },
    );
    await fc.assert(property, { numRuns: 60, seed: 7 });
  });

  it('never ends in anything but bytes within the bounds or an error, whatever the bytes are', async () => {
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(...CODINGS),
      fc.nat(300),
      fc.boolean(),
      async (array, coding, at, cut) => {
        // A good one with a byte changed, or cut off.
        const good = packed(Buffer.from(array), [coding]);
        const bad = cut ? good.subarray(0, at % good.length) : Buffer.from(good);
        if (!cut) bad[at % bad.length] = (bad[at % bad.length] ?? 0) ^ 0x55;
        const held = new BodyBytes(4096);
        const work = decodeBody(bad, [coding], { maxBytes: 1024 }, held);
        const code = await codeOf(work);
        assert.ok(['none', 'invalid_encoding', 'payload_too_large'].includes(code), code);
        if (code === 'none') (await work).release();
        assert.equal(held.held, 0);
      },
    );
    await fc.assert(property, { numRuns: 300, seed: 7 });
  });

  for (const codings of [
    ['gzip', 'gzip'],
    ['zstd', 'br'],
  ] as const)
    it(`stops at the bounds in the middle of two: ${codings.join(', ')}`, async () => {
      const held = new BodyBytes(8 * MIB);
      // What is in the middle is too large, what is in it would not be.
      const first = PACK[codings[0]](Buffer.alloc(10));
      const middle =
        codings[0] === 'gzip' ? Buffer.concat(Array<Buffer>(100_000).fill(first)) : Buffer.alloc(3 * MIB);
      const work = decodeBody(PACK[codings[1]](middle), codings, { maxBytes: MIB }, held);
      assert.equal(await codeOf(work), 'payload_too_large');
      assert.equal(held.held, 0);
    });

  it('stops when nobody wants the result any more', async () => {
    const held = new BodyBytes(1024 * MIB);
    const bomb = zstdCompressSync(Buffer.alloc(64 * MIB));
    const cut = new AbortController();
    const take = held.take.bind(held);
    held.take = (bytes) => {
      cut.abort();
      return take(bytes);
    };
    const work = decodeBody(bomb, ['zstd'], { maxBytes: 1024 * MIB, signal: cut.signal }, held);
    assert.equal(await codeOf(work), 'client_closed');
    assert.equal(held.held, 0);
    const late = decodeBody(bomb, ['zstd'], { maxBytes: 1024 * MIB, signal: cut.signal }, held);
    assert.equal(await codeOf(late), 'client_closed');
  });
});

describe('Content-Encoding', () => {
  it('is read from all its headers, in their order', () => {
    const headers = ['Content-Encoding', ' GZip , identity', 'X', 'y', 'content-encoding', 'br'];
    assert.deepEqual(codingsOf(headers), ['gzip', 'br']);
    assert.deepEqual(codingsOf(['content-encoding', '']), []);
    assert.deepEqual(codingsOf([]), []);
  });

  it('names the accepted ones where it is none of them', () => {
    for (const value of ['toString', '__proto__', 'gzip br', 'br, br, br', 'x'.repeat(5000)])
      assert.throws(
        () => codingsOf(['content-encoding', value]),
        (error) =>
          error instanceof RouterError &&
          error.code === 'unsupported_encoding' &&
          error.message.length < 150 &&
          error.message.endsWith('accepted are gzip, deflate, br, zstd'),
      );
  });
});
