import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readyCommand, topicCommand } from './commands.ts';
import { ZmtpFault, type EndCause } from './fault.ts';
import { encodeCommand, encodeMessage, FRAME_LIMITS } from './frames.ts';
import { GREETING } from './greeting.ts';
import { Session, type SocketType } from './session.ts';

interface Side {
  readonly session: Session;
  /** What it wrote. */
  readonly written: Buffer[];
  /** What it told of, in words. */
  readonly told: string[];
}

function side(type: SocketType): Side {
  const written: Buffer[] = [];
  const told: string[] = [];
  const session = new Session(type, FRAME_LIMITS, {
    write: (bytes) => written.push(bytes),
    onReady: () => told.push('ready'),
    onMessage: (frames) => told.push(`message ${frames.map(String).join('|')}`),
    onSubscription: (topic, wanted) => told.push(`${wanted ? 'wants' : 'leaves'} ${String(topic)}`),
    onPing: (ttlMs) => told.push(`ping ${ttlMs}`),
  });
  session.begin();
  return { session, written, told };
}

/** Passes bytes between the two until nothing is left to say, in pieces of these sizes in turn. */
function converse(a: Side, b: Side, sizes: readonly number[] = [1e6]): void {
  let turn = 0;
  while (a.written.length + b.written.length > 0) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const bytes = Buffer.concat(from.written.splice(0));
      for (let at = 0; at < bytes.length; turn += 1) {
        const size = sizes[turn % sizes.length]!;
        to.session.push(bytes.subarray(at, at + size));
        at += size;
      }
    }
  }
}

/** What a SUB says to a peer that begins so. */
function faultOf(...bytes: readonly Uint8Array[]): EndCause | 'taken' {
  const { session } = side('SUB');
  try {
    for (const piece of bytes) session.push(Buffer.from(piece));
  } catch (error) {
    assert.ok(error instanceof ZmtpFault);
    return error.endCause;
  }
  return 'taken';
}

/** A greeting with some bytes changed. */
function greeting(changes: Readonly<Record<number, number>>): Buffer {
  const bytes = Buffer.from(GREETING);
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value;
  return bytes;
}

const READY = encodeCommand(readyCommand('PUB'));

describe('a session', () => {
  it('comes about and carries messages, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 12 }), (sizes) => {
        const dealer = side('DEALER');
        const router = side('ROUTER');
        converse(dealer, router, sizes);
        dealer.session.sendMessage([Buffer.from(''), Buffer.from('x'.repeat(300))]);
        converse(dealer, router, sizes);
        assert.deepEqual(dealer.told, ['ready']);
        assert.deepEqual(router.told, ['ready', `message |${'x'.repeat(300)}`]);
      }),
    );
  });

  it('subscribes by a command where both speak 3.1', () => {
    const sub = side('SUB');
    const pub = side('PUB');
    converse(sub, pub);
    sub.session.subscribe(Buffer.from('kv'));
    assert.deepEqual(sub.written, [encodeCommand(topicCommand('SUBSCRIBE', Buffer.from('kv')))]);
    sub.session.sendCommand(topicCommand('CANCEL', Buffer.from('kv')));
    converse(sub, pub);
    assert.deepEqual(pub.told, ['ready', 'wants kv', 'leaves kv']);
  });

  it('subscribes by a message where the peer speaks 3.0, and understands such a one', () => {
    const sub = side('SUB');
    sub.session.push(greeting({ 11: 0 }));
    sub.session.push(READY);
    sub.written.length = 0;
    sub.session.subscribe(Buffer.from('kv'));
    assert.deepEqual(sub.written, [encodeMessage([Buffer.from('\u0001kv')])]);
    assert.equal(sub.session.knowsPing, false);

    const pub = side('PUB');
    pub.session.push(greeting({ 11: 0 }));
    pub.session.push(encodeCommand(readyCommand('SUB')));
    pub.session.push(encodeMessage([Buffer.from('\u0001kv')]));
    pub.session.push(encodeMessage([Buffer.from('\u0000kv')]));
    pub.session.push(encodeMessage([Buffer.from('something else')]));
    assert.deepEqual(pub.told, ['ready', 'wants kv', 'leaves kv']);
  });

  it('answers a PING with its context and passes unknown commands over', () => {
    const { session, written, told } = side('SUB');
    session.push(Buffer.concat([GREETING, READY]));
    written.length = 0;
    session.push(encodeCommand(Buffer.from('\u0004PING\u0000\u000activity', 'latin1')));
    session.push(encodeCommand(Buffer.from('\u0005HELLO')));
    assert.deepEqual(told, ['ready', 'ping 1000']);
    assert.deepEqual(written, [encodeCommand(Buffer.from('\u0004PONGctivity'))]);
  });

  it('takes later versions of the protocol for 3.1', () => {
    const { session } = side('SUB');
    session.push(Buffer.concat([greeting({ 10: 4, 11: 0 }), READY]));
    assert.equal(session.knowsPing, true);
  });

  it('ends with one who speaks something else, as soon as that is plain', () => {
    assert.equal(faultOf(Buffer.from('HTTP/1.1 400 Bad Request')), 'not_zmtp');
    assert.equal(faultOf(Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0)), 'not_zmtp');
    assert.equal(faultOf(GREETING.subarray(0, 10), Uint8Array.of(1)), 'refused');
    assert.equal(faultOf(GREETING.subarray(0, 63)), 'taken');
  });

  it('ends with another mechanism, another kind of socket and ERROR', () => {
    assert.equal(faultOf(greeting({ 12: 0x50 })), 'refused');
    assert.equal(faultOf(GREETING, encodeCommand(readyCommand('SUB'))), 'refused');
    assert.equal(faultOf(GREETING, encodeCommand(Buffer.from('\u0005ERROR\u0002no'))), 'refused');
  });

  it('ends where the order or the form is broken', () => {
    assert.equal(faultOf(GREETING, encodeMessage([Buffer.from('early')])), 'malformed');
    assert.equal(faultOf(GREETING, encodeCommand(Buffer.from('\u0004PING\u0000\u0000'))), 'malformed');
    assert.equal(faultOf(GREETING, READY, READY), 'malformed');
    assert.equal(faultOf(GREETING, READY, encodeCommand(Buffer.from('\u0004PING\u0000'))), 'malformed');
    assert.equal(faultOf(GREETING, encodeCommand(Buffer.from('\u0009READY'))), 'malformed');
    assert.equal(faultOf(GREETING, encodeCommand(Buffer.from('\u0005READY\u0003abc\u0000'))), 'malformed');
    assert.equal(faultOf(GREETING, encodeCommand(new Uint8Array(0))), 'malformed');
  });

  it('of any bytes ends in a fault or in nothing else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 5 }),
        fc.boolean(),
        (pieces, greets) => {
          faultOf(...(greets ? [GREETING] : []), ...pieces);
        },
      ),
    );
  });
});
