import type { MessagePort, Transferable } from 'node:worker_threads';
import type { Channel, Channels, MessageKind, QuestionKind } from './channel.ts';

/** What travels: a message, a question with its number, or what came of one. */
type Envelope =
  | { readonly kind: string; readonly body: unknown; readonly question?: number }
  | { readonly reply: number; readonly answer: unknown }
  | { readonly reply: number; readonly failed: string };

interface Awaited {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A port, or a worker, which is the other end of its parent's. */
export interface Port extends Pick<MessagePort, 'postMessage'> {
  on(event: 'message', listener: (envelope: Envelope) => void): unknown;
}

/** Messages over a port of `node:worker_threads`. */
export class PortChannel implements Channel {
  readonly #port: Port;
  readonly #beforePost: () => void;
  readonly #listeners = new Map<string, (body: never) => unknown>();
  readonly #awaited = new Map<number, Awaited>();
  #questions = 0;
  #closed = false;

  /** @param beforePost Told before anything is posted. */
  constructor(port: Port, beforePost: () => void = () => undefined) {
    this.#port = port;
    this.#beforePost = beforePost;
    port.on('message', (envelope) => {
      if (!this.#closed) this.#receive(envelope);
    });
  }

  post<Body>({ name }: MessageKind<Body>, body: Body, transfer?: readonly ArrayBuffer[]): void {
    this.#send({ kind: name, body }, transfer);
  }

  on<Body>({ name }: MessageKind<Body>, listener: (body: Body) => void): void {
    this.#listen(name, listener);
  }

  ask<Body, Answer>({ name }: QuestionKind<Body, Answer>, body: Body): Promise<Answer> {
    const question = ++this.#questions;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    if (this.#closed) reject(new ChannelClosed());
    else {
      // What answers a question of this kind has this type.
      this.#awaited.set(question, { resolve: (answer) => resolve(answer as Answer), reject });
      this.#send({ kind: name, body, question });
    }
    return promise;
  }

  answer<Body, Answer>(
    { name }: QuestionKind<Body, Answer>,
    listener: (body: Body) => Answer | Promise<Answer>,
  ): void {
    this.#listen(name, listener);
  }

  /** The other thread has ended, or is of no interest any more: nothing more is heard of it, and no answer awaited. */
  close(): void {
    this.#closed = true;
    const awaited = [...this.#awaited.values()];
    this.#awaited.clear();
    for (const { reject } of awaited) reject(new ChannelClosed());
  }

  #listen(name: string, listener: (body: never) => unknown): void {
    if (this.#listeners.has(name)) throw new Error(`somebody listens for ${name} already`);
    this.#listeners.set(name, listener);
  }

  #send(envelope: Envelope, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#closed) return;
    this.#beforePost();
    this.#port.postMessage(envelope, transfer as readonly Transferable[]);
  }

  #receive(envelope: Envelope): void {
    if (!('kind' in envelope)) {
      this.#settle(envelope);
      return;
    }
    const { kind, body, question } = envelope;
    const listener = this.#listeners.get(kind) as ((body: unknown) => unknown) | undefined;
    if (question === undefined) listener?.(body);
    else void this.#reply(question, listener, body);
  }

  async #reply(
    question: number,
    listener: ((body: unknown) => unknown) | undefined,
    body: unknown,
  ): Promise<void> {
    try {
      if (!listener) throw new Error('nobody answers this kind of question');
      this.#send({ reply: question, answer: await listener(body) });
    } catch (error) {
      this.#send({ reply: question, failed: error instanceof Error ? error.message : String(error) });
    }
  }

  #settle(envelope: Exclude<Envelope, { readonly kind: string }>): void {
    const awaited = this.#awaited.get(envelope.reply);
    this.#awaited.delete(envelope.reply);
    if ('failed' in envelope) awaited?.reject(new Error(envelope.failed));
    else awaited?.resolve(envelope.answer);
  }
}

/** The channels of all request threads, in the hand of control. */
export class PortChannels implements Channels {
  readonly #byRow = new Map<number, PortChannel>();
  /** What each new channel is given. */
  readonly #attach: ((channel: PortChannel, row: number) => void)[] = [];
  readonly #onEnded: ((row: number) => void)[] = [];
  /** Rows of threads that do not serve yet. */
  readonly #beginning = new Set<number>();
  readonly #beforePost: (() => void)[] = [];

  get rows(): Iterable<number> {
    return this.#byRow.keys();
  }

  to(row: number): Channel | undefined {
    return this.#byRow.get(row);
  }

  /** A thread begins; where `isLate`, nobody waits for its answers before `serves` is called. */
  add(row: number, port: Port, isLate = false): void {
    if (isLate) this.#beginning.add(row);
    const channel = new PortChannel(port, () => {
      for (const listener of this.#beforePost) listener();
    });
    this.#byRow.set(row, channel);
    for (const attach of this.#attach) attach(channel, row);
  }

  /** It serves from now on. What it was told before, it has heard by then. */
  serves(row: number): void {
    this.#beginning.delete(row);
  }

  /** It has ended: its questions and ours are over, and what was its is taken back by whoever gave it. */
  end(row: number): void {
    const channel = this.#byRow.get(row);
    if (!channel) return;
    this.#byRow.delete(row);
    this.#beginning.delete(row);
    channel.close();
    for (const listener of this.#onEnded) listener(row);
  }

  broadcast<Body>(kind: MessageKind<Body>, body: Body): void {
    for (const channel of this.#byRow.values()) channel.post(kind, body);
  }

  on<Body>(kind: MessageKind<Body>, listener: (row: number, body: Body) => void): void {
    this.#each((channel, row) => {
      channel.on(kind, (body) => {
        listener(row, body);
      });
    });
  }

  answer<Body, Answer>(
    kind: QuestionKind<Body, Answer>,
    listener: (row: number, body: Body) => Answer | Promise<Answer>,
  ): void {
    this.#each((channel, row) => {
      channel.answer(kind, (body) => listener(row, body));
    });
  }

  async askAll<Body, Answer>(
    kind: QuestionKind<Body, Answer>,
    body: Body,
    timeoutMs: number,
  ): Promise<readonly { readonly row: number; readonly answer: Answer }[]> {
    const answers: { readonly row: number; readonly answer: Answer }[] = [];
    const asked = [...this.#byRow].map(async ([row, channel]) => {
      if (this.#beginning.has(row)) return;
      answers.push({ row, answer: await channel.ask(kind, body) });
    });
    await Promise.race([Promise.allSettled(asked), timeUp(timeoutMs)]);
    return answers.toSorted((left, right) => left.row - right.row);
  }

  beforePost(listener: () => void): void {
    this.#beforePost.push(listener);
  }

  onEnded(listener: (row: number) => void): void {
    this.#onEnded.push(listener);
  }

  #each(attach: (channel: PortChannel, row: number) => void): void {
    this.#attach.push(attach);
    for (const [row, channel] of this.#byRow) attach(channel, row);
  }
}

function timeUp(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

/** The other thread is gone. */
class ChannelClosed extends Error {
  constructor() {
    super('the thread has ended');
  }
}
