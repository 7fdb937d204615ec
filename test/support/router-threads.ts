import type { Channel } from '../../src/base/channel.ts';
import { PortChannel, PortChannels, type Port } from '../../src/base/port-channel.ts';
import { JoinedMemory, SharedMemory } from '../../src/base/thread-memory.ts';
import type { RequestPart, ThreadPart } from '../../src/base/thread-part.ts';

/** One end of a line: what is posted lies there, copied as between threads, until the other end is given it. */
class Line {
  readonly waiting: unknown[] = [];
  listener: (envelope: unknown) => void = () => undefined;
  other: Line | undefined;

  get port(): Port {
    const port = {
      postMessage: (envelope: unknown) => {
        this.other?.waiting.push(structuredClone(envelope));
      },
      on: (_: string, listener: (envelope: unknown) => void) => {
        this.listener = listener;
      },
    };
    // Nothing else of a port is used.
    return port as unknown as Port;
  }

  /** What there is for this end, up to `most`. */
  deliver(most = Infinity): number {
    let count = 0;
    for (; count < most && this.waiting.length > 0; count++) this.listener(this.waiting.shift());
    return count;
  }
}

/** One request thread of those that are all in this one. */
export interface ThreadEnd extends RequestPart {
  readonly memory: JoinedMemory;
  readonly channel: Channel;
  /** Messages of control come to it. */
  hear(most?: number): number;
  /** Its messages come to control. */
  beHeard(most?: number): number;
}

/** A router's threads, all in one, whose messages come when a test says so. */
export class RouterThreads {
  readonly memory: SharedMemory;
  readonly channels = new PortChannels();
  readonly control: Extract<ThreadPart, { readonly kind: 'control' }>;
  readonly #ends = new Map<number, ThreadEnd>();

  /** @param rows Request threads that there may be. */
  constructor(rows: number) {
    this.memory = new SharedMemory(rows);
    this.control = { kind: 'control', memory: this.memory, channels: this.channels };
  }

  /** To be called when control has made its regions. */
  begin(row: number): ThreadEnd {
    const [here, there] = [new Line(), new Line()];
    [here.other, there.other] = [there, here];
    this.channels.add(row, here.port);
    const end: ThreadEnd = {
      kind: 'request',
      memory: new JoinedMemory(this.memory.regions, { rows: this.memory.rows, self: row }),
      channel: new PortChannel(there.port),
      hear: (most) => there.deliver(most),
      beHeard: (most) => here.deliver(most),
    };
    this.#ends.set(row, end);
    return end;
  }

  /** The thread dies; what it has posted and nobody has heard is lost. */
  end(row: number): void {
    this.#ends.delete(row);
    this.channels.end(row);
  }

  /** Until nobody has anything more to hear. */
  async settle(): Promise<void> {
    for (;;) {
      let heard = 0;
      for (const end of this.#ends.values()) heard += end.beHeard() + end.hear();
      // Answers are posted in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
      if (heard === 0 && [...this.#ends.values()].every((end) => end.beHeard() + end.hear() === 0)) return;
    }
  }
}
