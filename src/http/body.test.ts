import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { RequestHead } from '../http1/request-head.ts';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { BodyBytes, readBody, refuseTooLong, StreamedBody } from './body.ts';
import { EdgeRequest, type BodyInlet } from './edge-request.ts';

fc.configureGlobal({ seed: 7 });

const LIMITS = { maxBytes: 1000, idleTimeoutMs: 100 };

const NO_INLET = { askFor: () => undefined, pause: () => undefined, resume: () => undefined };

/** A request whose body the test sends. */
class FakeRequest extends EdgeRequest {
  isBroken = false;

  constructor(framing: RequestHead['framing'] = { kind: 'chunked' }, inlet: BodyInlet = NO_INLET) {
    super(
      {
        ...{ method: 'POST', target: '/', minorVersion: 1, headers: [], framing },
        ...{ keepAlive: true, expectsContinue: false, expectsUnknown: false, upgrade: undefined },
      },
      new Socket(),
      inlet,
    );
  }

  override break(): void {
    this.isBroken = true;
    super.break();
  }

  send(bytes: Buffer): void {
    this.push(bytes);
    this.flush();
  }
}

/** Lets streams pass on what they have. */
function tick(): Promise<void> {
  return new Promise(setImmediate);
}

const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 12 });

test('a held body is the bytes that came, in any chunks, and is counted until it is released', async () => {
  await fc.assert(
    fc.asyncProperty(chunks, async (parts) => {
      const req = new FakeRequest();
      const held = new BodyBytes(10_000);
      const reading = readBody(req, LIMITS, held, new VirtualClock());
      for (const part of parts) req.send(Buffer.from(part));
      req.end();
      const whole = Buffer.concat(parts);
      const body = await reading;
      assert.deepEqual(body.bytes, whole);
      assert.equal(held.held, whole.length);
      body.release();
      body.release();
      assert.equal(held.held, 0);
    }),
    { numRuns: 50 },
  );
});

test('a streamed body is the bytes that came, in any chunks', async () => {
  await fc.assert(
    fc.asyncProperty(chunks, async (parts) => {
      const req = new FakeRequest();
      const body = new StreamedBody(req, LIMITS, new VirtualClock());
      for (const part of parts) req.send(Buffer.from(part));
      req.end();
      const got: Buffer[] = [];
      for await (const part of body) got.push(part as Buffer);
      const whole = Buffer.concat(parts);
      assert.deepEqual(Buffer.concat(got), whole);
      assert.equal(body.received, whole.length);
      assert.equal(body.consumed, whole.length > 0);
    }),
    { numRuns: 50 },
  );
});

test('too long without a length: refused with the chunk that exceeds the limit, nothing kept', async () => {
  const req = new FakeRequest();
  const held = new BodyBytes(10_000);
  const reading = readBody(req, LIMITS, held, new VirtualClock());
  req.send(Buffer.alloc(999));
  req.send(Buffer.alloc(2));
  await assert.rejects(Promise.resolve(reading), { code: 'payload_too_large' });
  assert.equal(held.held, 0);
});

test('exactly the limit is not too long', async () => {
  const req = new FakeRequest();
  const reading = readBody(req, LIMITS, new BodyBytes(10_000), new VirtualClock());
  req.send(Buffer.alloc(1000));
  req.end();
  assert.equal((await reading).bytes.length, 1000);
});

test('the bytes of all bodies together are bounded, and a refused body gives its own back', async () => {
  const held = new BodyBytes(100);
  const first = new FakeRequest();
  const firstBody = readBody(first, LIMITS, held, new VirtualClock());
  first.send(Buffer.alloc(60));
  first.end();
  const heldFirst = await firstBody;
  const second = new FakeRequest();
  const secondBody = readBody(second, LIMITS, held, new VirtualClock());
  second.send(Buffer.alloc(30));
  second.send(Buffer.alloc(11));
  await assert.rejects(Promise.resolve(secondBody), { code: 'inflight_bytes_exceeded' });
  assert.equal(held.held, 60);
  heldFirst.release();
  assert.equal(held.held, 0);
});

test('a pause that is too long ends the reading, every chunk starts it anew', async () => {
  const clock = new VirtualClock();
  const req = new FakeRequest();
  const held = new BodyBytes(1000);
  const reading = readBody(req, LIMITS, held, clock);
  for (let i = 0; i < 3; i += 1) {
    req.send(Buffer.alloc(1));
    await tick();
    clock.advance(99);
  }
  clock.advance(1);
  await assert.rejects(Promise.resolve(reading), { code: 'body_timeout' });
  assert.equal(held.held, 0);
});

test('a client that leaves while it sends is one that left', async () => {
  const req = new FakeRequest();
  const held = new BodyBytes(1000);
  const reading = readBody(req, LIMITS, held, new VirtualClock());
  req.send(Buffer.alloc(10));
  req.break();
  await assert.rejects(Promise.resolve(reading), { code: 'client_closed' });
  assert.equal(held.held, 0);
});

test('streamed: too long, too slow and gone are told by the failure, and the request is left alone', async () => {
  for (const [code, act] of [
    ['payload_too_large', (req: FakeRequest) => req.send(Buffer.alloc(1001))],
    ['body_timeout', (_req: FakeRequest, clock: VirtualClock) => clock.advance(100)],
    ['client_closed', (req: FakeRequest) => req.break()],
  ] as const) {
    const clock = new VirtualClock();
    const req = new FakeRequest();
    const body = new StreamedBody(req, LIMITS, clock);
    const failed = assert.rejects(async () => {
      for await (const part of body) assert.fail(`got ${String(part)}`);
    });
    await tick();
    act(req, clock);
    await failed;
    assert.equal(body.failure?.code, code);
    if (code !== 'client_closed') assert.equal(req.isBroken, false);
    assert.equal(clock.pending, 0);
  }
});

test('streamed: a client is slow only while bytes are asked for', async () => {
  const clock = new VirtualClock();
  const req = new FakeRequest();
  const body = new StreamedBody(req, { ...LIMITS, maxBytes: 1_000_000 }, clock);
  // More than the stream takes ahead, and a reader that does not read: the worker is the slow one.
  req.send(Buffer.alloc(200_000));
  body.read(0);
  await tick();
  clock.advance(1_000);
  assert.equal(body.failure, undefined);
  body.destroy();
});

test('a length above the limit is refused before anything is read', () => {
  assert.throws(() => refuseTooLong(new FakeRequest({ kind: 'length', length: 1001 }), 1000), {
    code: 'payload_too_large',
  });
  refuseTooLong(new FakeRequest({ kind: 'length', length: 1000 }), 1000);
  refuseTooLong(new FakeRequest(), 1000);
});

test('another limit on held bytes counts those that are held', () => {
  const held = new BodyBytes(100);
  assert.ok(held.take(80));
  held.reconfigure(50);
  assert.equal(held.take(1), false);
  held.give(40);
  assert.ok(held.take(10));
  assert.equal(held.take(1), false);
  assert.equal(held.held, 50);
});

test('a body that has come before it is read is there at once, within the same bounds', () => {
  const complete = (size: number): FakeRequest => {
    const req = new FakeRequest();
    req.send(Buffer.alloc(size, 'x'));
    req.end();
    return req;
  };
  const held = new BodyBytes(1_500);
  const body = readBody(complete(1_000), LIMITS, held, new VirtualClock());
  assert.ok(!(body instanceof Promise));
  assert.deepEqual(body.bytes, Buffer.alloc(1_000, 'x'));
  assert.equal(held.held, 1_000);
  const read = (size: number) => () => readBody(complete(size), LIMITS, held, new VirtualClock());
  assert.throws(read(1_001), { code: 'payload_too_large' });
  assert.throws(read(501), { code: 'inflight_bytes_exceeded' });
  body.release();
  assert.equal(held.held, 0);
});

test('while nobody reads it, so much of a body waits and no more', () => {
  let paused = 0;
  const req = new FakeRequest();
  req.onFull = () => (paused += 1);
  for (let sent = 0; sent < 64; sent += 1) req.send(Buffer.alloc(1_024));
  assert.equal(paused, 1);
  req.drop();
  for (let sent = 0; sent < 64; sent += 1) req.send(Buffer.alloc(1_024));
  assert.equal(paused, 1);
});

test('a request whose body has come leaves the connection to the one behind it, which may be paused', () => {
  let resumed = 0;
  const req = new FakeRequest({ kind: 'chunked' }, { ...NO_INLET, resume: () => (resumed += 1) });
  req.send(Buffer.alloc(10));
  req.end();
  const got: string[] = [];
  req.read({
    onBytes: (bytes) => {
      got.push(`${bytes.length} bytes`);
      req.pause();
    },
    onEnd: () => got.push('end'),
    onBroken: () => got.push('broken'),
  });
  req.resume();
  assert.deepEqual(got, ['10 bytes', 'end']);
  req.drop();
  assert.equal(resumed, 0);
});

test('the bytes of all threads together are bounded, beyond 2 GiB too, and those of one that died are free', () => {
  const GIB = 2 ** 30;
  const memory = new SharedMemory(2);
  const control = new BodyBytes(5 * GIB, memory);
  const [one, other] = [1, 2].map(
    (self) => new BodyBytes(1, new JoinedMemory(memory.regions, { rows: 3, self })),
  );
  assert.ok(one && other);
  assert.deepEqual([one.take(3 * GIB), other.take(2 * GIB), one.take(1)], [true, true, false]);
  assert.deepEqual([control.held, one.held], [5 * GIB, 5 * GIB]);
  other.give(7);
  assert.deepEqual([one.take(8), one.take(7)], [false, true]);
  control.reconfigure(6 * GIB);
  assert.equal(other.take(GIB), true);
  control.reclaim(1);
  assert.equal(control.held, 3 * GIB - 7);
  other.give(3 * GIB - 7);
  assert.equal(control.held, 0);
});
