import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encode } from '@msgpack/msgpack';
import { readPeerMessage } from './peer-message.ts';

function read(message: unknown): ReturnType<typeof readPeerMessage> {
  return readPeerMessage(Buffer.from(encode(message)));
}

const P2P = { type: 'P', http_address: '10.0.0.1:8000', zmq_address: '10.0.0.1:21001' };
const MORIIO = {
  ...{ type: 'D', http_address: '10.0.0.2:8000', transfer_mode: 'WRITE', dp_size: 2, tp_size: 8 },
  zmq_address: 'host:10.0.0.2,handshake:6301,notify:61005',
};
/** As older workers write it. */
const OLDER = {
  ...{ type: 'HELLO', role: 'P', index: '0', request_address: 'http://10.0.0.3:20005/v1/completions' },
  ...{ handshake_port: 6301, notify_port: 61005, dp_size: 1, tp_size: 8, transfer_mode: 'READ' },
};

describe('what a worker says of itself', () => {
  it('is read in the form of P2P-NCCL', () => {
    assert.deepEqual(read(P2P), {
      role: 'prefill',
      http: { ip: '10.0.0.1', port: 8000 },
      zmqAddress: '10.0.0.1:21001',
      zmq: [{ ip: '10.0.0.1', port: 21001 }],
      ...{ transferMode: undefined, dpSize: undefined, tpSize: undefined },
    });
  });

  it('is read in the form of MoRI-IO, whose address has one spelling', () => {
    const expected = {
      role: 'decode',
      http: { ip: '10.0.0.2', port: 8000 },
      zmqAddress: MORIIO.zmq_address,
      zmq: [
        { ip: '10.0.0.2', port: 6301 },
        { ip: '10.0.0.2', port: 61005 },
      ],
      ...{ transferMode: 'WRITE', dpSize: 2, tpSize: 8 },
    };
    assert.deepEqual(read(MORIIO), expected);
    const other = {
      ...MORIIO,
      zmq_address: 'notify:61005, handshake:6301,host: 10.0.0.2',
      more: [1, { a: null }],
    };
    assert.deepEqual(read(other), expected);
    const v6 = read({ ...MORIIO, zmq_address: 'host:fd00::1,handshake:6301,notify:6302' });
    assert.ok('zmq' in v6);
    assert.deepEqual(
      v6.zmq.map(({ ip }) => ip),
      ['fd00::1', 'fd00::1'],
    );
  });

  it('is read in the form of older MoRI-IO, which names ports and a URL', () => {
    for (const type of ['HELLO', 'register']) {
      const message = read({ ...OLDER, type });
      assert.ok('zmq' in message);
      assert.deepEqual(message.http, { ip: '10.0.0.3', port: 20_005 });
      assert.equal(message.zmqAddress, 'host:10.0.0.3,handshake:6301,notify:61005');
      assert.deepEqual([message.role, message.transferMode], ['prefill', 'READ']);
    }
  });

  it('is refused where it is nothing of that', () => {
    const wrong = {
      unknown_type: [
        { ...P2P, type: 'X' },
        { ...P2P, type: 1 },
        { ...P2P, type: 'toString' },
        { ...P2P, type: null },
        { ...OLDER, role: 'both' },
        { ...P2P, type: 'HELLO' },
      ],
      bad_address: [
        { ...P2P, http_address: 'host:8000' },
        { ...P2P, http_address: 'http://10.0.0.1:8000' },
        { type: 'P', http_address: P2P.http_address },
        { type: 'P', zmq_address: P2P.zmq_address },
        { ...P2P, zmq_address: 'tcp://10.0.0.1:21001' },
        { ...P2P, zmq_address: '10.0.0.1:21001\r\nx-evil: 1' },
        { ...MORIIO, zmq_address: 'host:10.0.0.2,handshake:6301' },
        { ...MORIIO, zmq_address: 'host:name,handshake:6301,notify:6302' },
        { ...OLDER, request_address: 'https://10.0.0.3:20005/' },
        { ...OLDER, request_address: 'http://user@10.0.0.3:20005/' },
        { ...OLDER, request_address: 'http://10.0.0.3/' },
        { ...OLDER, notify_port: -1 },
        { ...OLDER, notify_port: 1.5 },
      ],
      malformed: [
        [1, 2],
        'P',
        { ...P2P, zmq_address: ['10.0.0.1:21001'] },
        { ...P2P, type: 'P'.repeat(300) },
        { ...MORIIO, transfer_mode: 'PUSH' },
        { ...MORIIO, dp_size: 0 },
        { ...MORIIO, tp_size: 1.5 },
        { ...MORIIO, tp_size: 1e9 },
        { ...MORIIO, tp_size: '8' },
      ],
    };
    for (const [problem, messages] of Object.entries(wrong))
      for (const message of messages) assert.deepEqual(read(message), { problem }, JSON.stringify(message));
  });

  it('of any bytes is a message or a problem', () => {
    const whole = Buffer.from(encode(MORIIO));
    for (let cut = 0; cut < whole.length; cut += 1)
      assert.deepEqual(readPeerMessage(whole.subarray(0, cut)), { problem: 'malformed' });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        readPeerMessage(Buffer.from(bytes));
      }),
    );
  });
});
