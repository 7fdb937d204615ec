import type { TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { PortChannel, PortChannels } from '../../src/base/port-channel.ts';
import { JoinedMemory, SharedMemory, type ThreadMemory } from '../../src/base/thread-memory.ts';
import type { ThreadPart } from '../../src/base/thread-part.ts';

export type ControlPart = Extract<ThreadPart, { kind: 'control' }>;
export type RequestPart = Extract<ThreadPart, { kind: 'request' }>;

/** Control and its request threads, all in this one: each with its own view of one memory, and messages between them. */
export class ThreadEnds {
  readonly memory: SharedMemory;
  readonly channels = new PortChannels();
  readonly #t: TestContext;

  constructor(t: TestContext, threads: number) {
    this.#t = t;
    this.memory = new SharedMemory(threads);
  }

  get control(): ControlPart {
    return { kind: 'control', memory: this.memory, channels: this.channels };
  }

  /** A thread begins in this row. Regions are those that control has made so far. */
  begin(row: number): RequestPart {
    const { port1, port2 } = new MessageChannel();
    this.channels.add(row, port1);
    this.#t.after(() => {
      port1.close();
    });
    const memory: ThreadMemory = new JoinedMemory(this.memory.regions, { rows: this.memory.rows, self: row });
    return { kind: 'request', memory, channel: new PortChannel(port2) };
  }

  /** What has been posted by now has arrived, also what has been posted when it arrived. */
  async settled(): Promise<void> {
    for (let turn = 0; turn < 20; turn++)
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
  }
}
