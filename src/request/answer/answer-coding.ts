import { acceptsCoding } from '../../http/accept-encoding.ts';
import { readCodings, type Coding } from '../../http/content-coding.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Head } from '../send/attempt.ts';

/** How the answer is encoded; undefined where that is not known, or not to be touched. */
export function codingsFor(
  { method, endpoint }: Arrival,
  { status, headers }: Head,
): readonly Coding[] | undefined {
  const codings = readCodings(headers);
  if (typeof codings === 'string') return undefined;
  if (codings.length === 0) return codings;
  // Part of something encoded cannot be decoded.
  const isWhole = method !== 'HEAD' && status !== 204 && status !== 206 && status !== 304;
  return endpoint.class === 'inference' && isWhole ? codings : undefined;
}

/** Whether it is decoded: not, for what the router reads of it alone, or for the client too. */
export type Decodes = 'no' | 'beside' | 'for client';

/** A worker that encodes although it was asked not to: its client gets the bytes if it can read them. */
export function howToDecode({ req }: Arrival, codings: readonly Coding[], isEdited: boolean): Decodes {
  if (codings.length === 0) return 'no';
  const isTaken = codings.every((coding) => acceptsCoding(req.rawHeaders, coding));
  return isTaken && !isEdited ? 'beside' : 'for client';
}
