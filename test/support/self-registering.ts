import { encode } from '@msgpack/msgpack';
import { once, EventEmitter } from 'node:events';
import type { TestContext } from 'node:test';
import { systemRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { Sender } from '../../src/zmtp/sender.ts';

/** What a worker of P2P-NCCL says of itself; `url` is where it serves. */
export function p2pMessage(
  type: 'P' | 'D',
  url: string,
  zmqPort = 21_001,
): Readonly<Record<string, unknown>> {
  return { type, http_address: new URL(url).host, zmq_address: `127.0.0.1:${zmqPort}` };
}

/** The side of a worker: connected to a router that listens at that port of this machine. */
export interface SelfRegistering {
  say(message: unknown): void;
  sayBytes(...frames: readonly Uint8Array[]): void;
  /** Resolves when its connection has ended. */
  left(): Promise<void>;
  close(): void;
}

export async function selfRegistering(t: TestContext, port: number): Promise<SelfRegistering> {
  const events = new EventEmitter();
  const ready = once(events, 'ready');
  const ended = once(events, 'end');
  const sender = new Sender(
    { kind: 'tcp', host: '127.0.0.1', port },
    'DEALER',
    { clock: systemClock, random: systemRandom },
    { onReady: () => events.emit('ready'), onEnd: () => events.emit('end') },
  );
  t.after(() => {
    sender.close();
  });
  await ready;
  return {
    say: (message) => void sender.send([Buffer.from(encode(message))]),
    sayBytes: (...frames) => void sender.send(frames),
    left: async () => {
      await ended;
    },
    close: () => {
      sender.close();
    },
  };
}
