import { headerOf } from '../../http/headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Head } from '../send/attempt.ts';
import { EventStreamTap, JsonTap, opaqueTap, type ResponseTap } from './response-tap.ts';

/** Whether HTTP itself tells where the body ends; else only the end of the connection does. */
export function isFramed(method: string, head: Head): boolean {
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return true;
  return (
    headerOf(head.headers, 'content-length') !== undefined ||
    headerOf(head.headers, 'transfer-encoding') !== undefined
  );
}

/** What watches a body of that type, in small letters, pass by. */
export function tapFor(contentType: string, { endpoint }: Arrival, framed: boolean): ResponseTap {
  const hasId = endpoint.resource === 'create';
  if (contentType.startsWith('text/event-stream')) return new EventStreamTap({ hasId });
  if (contentType.startsWith('application/json'))
    return new JsonTap({ framed, countsIds: endpoint.tokenIds === true, hasId });
  return opaqueTap;
}
