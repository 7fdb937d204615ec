import { decode } from '@msgpack/msgpack';
import { systemClock } from '../../src/base/system-clock.ts';
import { DealerSocket } from '../../src/zmtp/dealer.ts';
import type { Endpoint } from '../../src/zmtp/endpoint.ts';
import { SubSocket } from '../../src/zmtp/sub.ts';
import { eventually } from './fleet.ts';

/** A message of cache events as it came. */
export interface EventMessage {
  readonly topic: string;
  readonly sequence: bigint;
  readonly payload: Buffer;
}

/** What a payload says: `[seconds, events, rank]`. */
export interface DecodedBatch {
  readonly seconds: number;
  readonly events: readonly Readonly<Record<string, unknown>>[];
  readonly rank: unknown;
}

const SEQUENCE_BYTES = 8;

/** Subscribes to one publisher and keeps what comes. */
export class EventSubscriber {
  readonly messages: EventMessage[] = [];
  readonly #socket: SubSocket;

  constructor(port: number) {
    const options = { clock: systemClock, random: () => 0 };
    this.#socket = new SubSocket(endpointAt(port), [''], options, {
      onReady: () => undefined,
      onMessage: ([topic, sequence, payload]) => {
        if (!topic || !sequence || !payload) throw new Error('a message of fewer than three frames');
        const copy = Buffer.from(payload);
        this.messages.push({ topic: topic.toString(), sequence: sequence.readBigUInt64BE(), payload: copy });
      },
      onEnd: () => undefined,
    });
  }

  /** Waits until so many have come. */
  async count(count: number): Promise<readonly EventMessage[]> {
    await eventually(() => this.messages.length >= count);
    return this.messages;
  }

  close(): void {
    this.#socket.close();
  }
}

/** Asks for what was sent from that number on; resolves to the frames of every reply, the last one's included. */
export function replay(port: number, from: bigint): Promise<readonly (readonly Buffer[])[]> {
  const start = Buffer.alloc(SEQUENCE_BYTES);
  start.writeBigUInt64BE(from);
  const replies: (readonly Buffer[])[] = [];
  return new Promise((resolve, reject) => {
    const dealer = new DealerSocket(
      endpointAt(port),
      [Buffer.alloc(0), start],
      { clock: systemClock },
      {
        onMessage: (frames) => {
          replies.push(frames.map((frame) => Buffer.from(frame)));
          if (frames.at(-2)?.toString('hex') !== 'ffffffffffffffff') return;
          dealer.close();
          resolve(replies);
        },
        onEnd: ({ message }) => reject(new Error(message)),
      },
    );
  });
}

/** Events as arrays get no names: their fields are under their places. */
export function decodeMessage({ payload }: Pick<EventMessage, 'payload'>): DecodedBatch {
  // A test says what it expects of the shape.
  const [seconds, events, rank] = decode(payload, { useBigInt64: true }) as [
    number,
    Record<string, unknown>[],
    unknown,
  ];
  return { seconds, events, rank };
}

function endpointAt(port: number): Endpoint {
  return { kind: 'tcp', host: '127.0.0.1', port };
}
