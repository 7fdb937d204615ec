/** One kind of message, and what is in it: values that a structured clone keeps. */
export interface MessageKind<Body> {
  readonly name: string;
  /** Never there; ties the type to the kind. */
  readonly body?: Body;
}

/** One kind of question, and what its answer holds. */
export interface QuestionKind<Body, Answer> extends MessageKind<Body> {
  readonly answer?: Answer;
}

/**
 * Messages between the thread in control and one request thread. They come in the order in which they were posted; whoever has
 * closed it hears nothing more. One listener per kind.
 */
export interface Channel {
  post<Body>(kind: MessageKind<Body>, body: Body, transfer?: readonly ArrayBuffer[]): void;
  on<Body>(kind: MessageKind<Body>, listener: (body: Body) => void): void;
  /** Rejects where the other thread ends before it answers, or its listener throws. */
  ask<Body, Answer>(kind: QuestionKind<Body, Answer>, body: Body): Promise<Answer>;
  answer<Body, Answer>(
    kind: QuestionKind<Body, Answer>,
    listener: (body: Body) => Answer | Promise<Answer>,
  ): void;
}

/** What control has in its hand: a channel to each request thread that runs, by the row of the thread in `ThreadMemory`. */
export interface Channels {
  readonly rows: Iterable<number>;
  to(row: number): Channel | undefined;
  /** To all of them. */
  broadcast<Body>(kind: MessageKind<Body>, body: Body): void;
  /** Told before anything is posted: what was held back to go with more of its kind goes first, so that the order stays. */
  beforePost(listener: () => void): void;
  /** From whichever thread. */
  on<Body>(kind: MessageKind<Body>, listener: (row: number, body: Body) => void): void;
  answer<Body, Answer>(
    kind: QuestionKind<Body, Answer>,
    listener: (row: number, body: Body) => Answer | Promise<Answer>,
  ): void;
  /** The answers of all threads that serve and gave one within `timeoutMs`. */
  askAll<Body, Answer>(
    kind: QuestionKind<Body, Answer>,
    body: Body,
    timeoutMs: number,
  ): Promise<readonly { readonly row: number; readonly answer: Answer }[]>;
  /** A thread has ended: what was its is to be taken back. Its row will be another thread's. */
  onEnded(listener: (row: number) => void): void;
}
