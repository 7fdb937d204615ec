import type { MessageKind, QuestionKind } from '../base/channel.ts';
import type { AdminHead } from './exchange.ts';

/*
 * A request for the worker and admin routes that one thread has and control serves, `id` being the thread's own number for it.
 * In both directions there is one piece of a body on its way at most: the next one goes out when the other end asks for it.
 */

/** To control: a request has come. */
export const ASKED: MessageKind<{ readonly id: number; readonly head: AdminHead }> = { name: 'admin:asked' };

/** To control: what it asked for of the body, or its end. */
export const BODY: MessageKind<{
  readonly id: number;
  readonly piece: Uint8Array<ArrayBuffer> | 'end' | 'broken';
}> = { name: 'admin:body' };

/** To control: the client can take the next piece of the answer. */
export const READY: MessageKind<{ readonly id: number }> = { name: 'admin:ready' };

/** To control: the answer has left, or never will. The last that is heard of this request. */
export const OVER: MessageKind<{ readonly id: number; readonly sent: boolean }> = { name: 'admin:over' };

/** To the thread: the next piece of the body is wanted. */
export const WANTED: MessageKind<{ readonly id: number }> = { name: 'admin:wanted' };

/** To the thread: the answer, piece by piece; its head with the first one. */
export const ANSWER: MessageKind<{
  readonly id: number;
  readonly head: AnswerHead | undefined;
  readonly piece: Uint8Array<ArrayBuffer>;
  readonly last: boolean;
}> = { name: 'admin:answer' };

export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  /** Flat. */
  readonly headers: readonly string[];
}

/** To the thread: there will be no answer, or not all of it. */
export const CUT: MessageKind<{ readonly id: number }> = { name: 'admin:cut' };

/** To the thread, which answers when it has done all that control has told it before. */
export const CAUGHT_UP: QuestionKind<undefined, true> = { name: 'admin:caught-up' };

/** A copy that owns its memory: what is posted takes everything along that is in the same one. */
export function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** The same memory as a Buffer, which does not survive being posted. */
export function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
