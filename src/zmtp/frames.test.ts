import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ZmtpFault, type EndCause } from './fault.ts';
import { encodeCommand, encodeMessage, FrameReader, type FrameLimits } from './frames.ts';

const LIMITS: FrameLimits = { maxFrameBytes: 70_000, maxFrames: 8 };

type Sent =
  | { readonly kind: 'message'; readonly frames: readonly Uint8Array[] }
  | { readonly kind: 'command'; readonly body: Uint8Array };

/** What is read from these pieces, as hex. */
function read(pieces: readonly Uint8Array[], limits = LIMITS): string[] {
  const found: string[] = [];
  const reader = new FrameReader(limits, {
    onCommand: (body) => found.push(`command ${body.toString('hex')}`),
    onMessage: (frames) => found.push(`message ${frames.map((frame) => frame.toString('hex')).join(' ')}`),
  });
  for (const piece of pieces) reader.push(Buffer.from(piece));
  return found;
}

function faultOf(bytes: Uint8Array, limits = LIMITS): EndCause | 'taken' {
  try {
    read([bytes], limits);
  } catch (error) {
    assert.ok(error instanceof ZmtpFault);
    return error.endCause;
  }
  return 'taken';
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Short and long frames, with the lengths at which the encoding changes. */
const frame = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(0, 1, 254, 255, 256, 3000).map((size) => new Uint8Array(size).fill(size)),
);
const sent = fc.oneof(
  fc
    .array(frame, { minLength: 1, maxLength: LIMITS.maxFrames })
    .map((frames): Sent => ({ kind: 'message', frames })),
  frame.map((body): Sent => ({ kind: 'command', body })),
);

describe('frames', () => {
  it('are read as they were sent, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(sent, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
        (all, sizes) => {
          const bytes = Buffer.concat(
            all.map((one) => (one.kind === 'message' ? encodeMessage(one.frames) : encodeCommand(one.body))),
          );
          const pieces: Uint8Array[] = [];
          for (let at = 0, i = 0; at < bytes.length; i += 1) {
            const size = sizes[i % sizes.length]!;
            pieces.push(bytes.subarray(at, at + size));
            at += size;
          }
          const expected = all.map((one) =>
            one.kind === 'message' ? `message ${one.frames.map(hex).join(' ')}` : `command ${hex(one.body)}`,
          );
          assert.deepEqual(read(pieces), expected);
        },
      ),
    );
  });

  it('are read from single bytes', () => {
    const bytes = encodeMessage([Buffer.from('a'), new Uint8Array(300), new Uint8Array(0)]);
    const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte));
    assert.deepEqual(read(pieces), read([bytes]));
  });

  it('beyond the limits are refused at their head, before anything is kept', () => {
    const head = Buffer.alloc(9);
    head[0] = 2;
    head.writeBigUInt64BE(2n ** 64n - 1n, 1);
    assert.equal(faultOf(head), 'too_large');
    assert.equal(faultOf(encodeMessage([new Uint8Array(40_000), new Uint8Array(40_000)])), 'too_large');
    assert.equal(faultOf(encodeMessage(Array.from({ length: 9 }, () => new Uint8Array(1)))), 'too_large');
    assert.equal(faultOf(encodeMessage([new Uint8Array(70_000)])), 'taken');
    assert.equal(faultOf(encodeCommand(Buffer.from('\x07UNKNOWN'.padEnd(65_536)))), 'taken');
    assert.equal(faultOf(encodeCommand(new Uint8Array(65_537)).subarray(0, 9)), 'too_large');
  });

  it('with reserved flags, and commands where none may be, are faults', () => {
    assert.equal(faultOf(Uint8Array.of(8, 0)), 'malformed');
    assert.equal(faultOf(Uint8Array.of(5, 0)), 'malformed');
    assert.equal(faultOf(Uint8Array.of(1, 0, 4, 0)), 'malformed');
  });

  it('of any bytes end in a fault or in nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        faultOf(bytes);
      }),
    );
  });
});
