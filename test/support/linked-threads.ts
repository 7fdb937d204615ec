import assert from 'node:assert/strict';
import type { Channel, Channels, MessageKind } from '../../src/base/channel.ts';
import { JoinedMemory, SharedMemory } from '../../src/base/thread-memory.ts';
import type { ThreadPart } from '../../src/base/thread-part.ts';

type Part<Kind extends ThreadPart['kind']> = Extract<ThreadPart, { readonly kind: Kind }>;

interface Message {
  readonly kind: string;
  readonly body: unknown;
}

/** One direction between control and a thread. */
interface Line {
  readonly waiting: Message[];
  readonly hear: (message: Message) => void;
}

/**
 * The threads of one router, all in this one: what they share is shared, and messages lie until the test delivers them, in the
 * order of each line, and in whichever order among the lines.
 */
export class LinkedThreads {
  readonly memory: SharedMemory;
  readonly control: Part<'control'>;
  readonly #lines = new Map<number, { readonly up: Line; readonly down: Line }>();
  readonly #heardByControl = new Map<string, (row: number, body: never) => void>();
  readonly #onEnded: ((row: number) => void)[] = [];

  constructor(threads: number) {
    this.memory = new SharedMemory(threads);
    this.control = { kind: 'control', memory: this.memory, channels: this.#channels() };
  }

  /** A thread begins; what control shares must be there. */
  begin(row: number): Part<'request'> {
    const listeners = new Map<string, (body: never) => void>();
    const up: Line = {
      waiting: [],
      hear: ({ kind, body }) => this.#heardByControl.get(kind)?.(row, body as never),
    };
    const down: Line = {
      waiting: [],
      hear: ({ kind, body }) => listeners.get(kind)?.(body as never),
    };
    this.#lines.set(row, { up, down });
    const memory = new JoinedMemory(new Map(this.memory.regions), { rows: this.memory.rows, self: row });
    return { kind: 'request', memory, channel: endOf(up, listeners) };
  }

  /** What it has posted last is lost with it. */
  end(row: number): void {
    this.#lines.delete(row);
    for (const listener of this.#onEnded) listener(row);
  }

  /** Delivers one message, of the line that `pick` chooses of those that have any. False where there is none. */
  deliver(pick = 0): boolean {
    const lines = [...this.#lines.values()]
      .flatMap(({ up, down }) => [up, down])
      .filter(({ waiting }) => waiting.length > 0);
    const line = lines[pick % Math.max(1, lines.length)];
    const message = line?.waiting.shift();
    if (!line || !message) return false;
    line.hear(message);
    return true;
  }

  /** Until nobody has anything to say. */
  async settle(): Promise<void> {
    do for (let turn = 0; turn < 4; turn += 1) await Promise.resolve();
    while (this.deliver());
  }

  #channels(): Channels {
    const lines = this.#lines;
    const to = (row: number): Channel | undefined => {
      const line = lines.get(row);
      return line && endOf(line.down, new Map());
    };
    return {
      get rows() {
        return lines.keys();
      },
      to,
      beforePost: () => assert.fail('nobody holds anything back here'),
      broadcast: (kind, body) => {
        for (const row of lines.keys()) to(row)?.post(kind, body);
      },
      on: <Body>({ name }: MessageKind<Body>, listener: (row: number, body: Body) => void) => {
        this.#heardByControl.set(name, listener);
      },
      answer: () => assert.fail('nobody asks here'),
      askAll: () => assert.fail('nobody asks here'),
      onEnded: (listener) => this.#onEnded.push(listener),
    };
  }
}

function endOf(line: Line, listeners: Map<string, (body: never) => void>): Channel {
  return {
    post: ({ name }, body) => line.waiting.push({ kind: name, body: structuredClone(body) }),
    on: ({ name }, listener) => {
      listeners.set(name, listener);
    },
    ask: () => assert.fail('nobody asks here'),
    answer: () => assert.fail('nobody asks here'),
  };
}
