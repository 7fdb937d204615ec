import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { LivePeers, type Heard } from './live-peers.ts';
import type { PeerMessage } from './peer-message.ts';

function message(place: number, more: Partial<PeerMessage> = {}): PeerMessage {
  const ip = `10.0.${Math.floor(place / 250)}.${place % 250}`;
  return {
    ...{ role: 'prefill', http: { ip, port: 8000 }, zmqAddress: `${ip}:21001`, zmq: [{ ip, port: 21_001 }] },
    ...{ transferMode: undefined, dpSize: undefined, tpSize: undefined, ...more },
  };
}

function setUp() {
  const clock = new VirtualClock();
  const live = new LivePeers(clock);
  const say = (...said: Parameters<typeof message>): string => {
    const heard: Heard = live.hear(message(...said), '10.0.0.9');
    return heard.kind === 'refused' ? heard.problem : heard.kind;
  };
  const urls = (peers: Iterable<{ readonly url: string }>): string[] => [...peers].map(({ url }) => url);
  return { clock, live, say, urls };
}

describe('workers that register themselves', () => {
  it('are there until they are silent for five seconds', () => {
    const { clock, live, say, urls } = setUp();
    assert.deepEqual([say(1), say(2), say(1)], ['new', 'new', 'known']);
    clock.advance(3000);
    assert.equal(say(2), 'known');
    clock.advance(1999);
    assert.deepEqual(live.drop(), []);
    clock.advance(1);
    assert.deepEqual(urls(live.drop()), ['http://10.0.0.1:8000']);
    assert.deepEqual(urls(live.all), ['http://10.0.0.2:8000']);
    assert.equal(say(1), 'new');
  });

  it('do not say anything else before they have been silent: what was said first holds', () => {
    const { clock, live, say } = setUp();
    say(1);
    for (const other of [
      { role: 'decode' },
      { zmqAddress: '10.0.0.7:21001' },
      { transferMode: 'READ' },
      { dpSize: 2 },
      { tpSize: 2 },
    ] as const)
      assert.equal(say(1, other), 'changed');
    clock.advance(5000);
    // What was refused was no sign of life.
    assert.equal(live.drop().length, 1);
    assert.equal(say(1, { zmqAddress: '10.0.0.7:21001' }), 'new');
  });

  it('have addresses that nobody else has', () => {
    const { clock, live, say } = setUp();
    say(1);
    assert.equal(say(2, { zmqAddress: '10.0.0.1:21001' }), 'address_taken');
    clock.advance(5000);
    live.drop();
    assert.equal(say(2, { zmqAddress: '10.0.0.1:21001' }), 'new');
  });

  it('of MoRI-IO have one mode of transfer, for as long as any is there', () => {
    const { clock, live, say } = setUp();
    assert.deepEqual(
      [say(1), say(2, { transferMode: 'READ' }), say(3, { transferMode: 'WRITE' }), say(4)],
      ['new', 'new', 'other_transfer_mode', 'new'],
    );
    clock.advance(5000);
    live.drop();
    assert.equal(say(3, { transferMode: 'WRITE' }), 'new');
  });

  it('are no more than 1,024', () => {
    const { say } = setUp();
    for (let place = 0; place < 1024; place += 1) assert.equal(say(place), 'new');
    assert.deepEqual([say(2000), say(7)], ['too_many', 'known']);
  });

  it('leave when they are no longer wanted', () => {
    const { live, say, urls } = setUp();
    say(1);
    say(2);
    assert.deepEqual(urls(live.drop(({ message: { http } }) => http.ip === '10.0.0.1')), [
      'http://10.0.0.2:8000',
    ]);
    assert.deepEqual(urls(live.all), ['http://10.0.0.1:8000']);
  });
});
