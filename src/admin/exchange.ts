import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import type { FlatHeaders } from '../http/headers.ts';
import type { Verdict } from './gate.ts';

/**
 * A request for the worker and admin routes as it stands at the door, in plain data: the thread that has its connection may not
 * be the one that serves it. What a client cannot be asked about itself is in it as that thread saw it.
 */
export interface AdminHead {
  readonly method: string;
  /** Normalised. */
  readonly path: string;
  /** With its question mark; empty where there is none. */
  readonly query: string;
  readonly httpVersion: '1.0' | '1.1';
  readonly rawHeaders: FlatHeaders;
  /** Of the body, bytes, as announced; undefined where only its end will tell. */
  readonly length: number | undefined;
  /** The address at the other end of the connection. */
  readonly peer: string | undefined;
  /** What the gate said, which has seen the connection. */
  readonly verdict: Verdict;
}

/** Its body, for whoever wants it. */
export type AdminBody = Pick<EdgeRequest, 'take' | 'read' | 'stop'>;

/** The answer that it is owed. */
export type AdminReply = Pick<
  EdgeResponse,
  'headersSent' | 'closed' | 'writeHead' | 'end' | 'onClosed' | 'destroy'
>;

/** Serves a request, whether it was let in or is to be told that it was not. */
export type ServeAdmin = (head: AdminHead, body: AdminBody, reply: AdminReply) => void;
