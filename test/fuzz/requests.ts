/** Requests with accidents in them, several on one connection, read by the router's parser and by llhttp. */
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../src/base/random.ts';
import { LlhttpRequests } from './llhttp-requests.ts';
import { mutated, oneOf, pieces } from './mutate.ts';
import { readWithOurs, type ReadRequest, type ReadRequests } from './read-requests.ts';
import { REQUEST_SPICES, requestsText } from './request-texts.ts';
import type { Verdict } from './verdict.ts';

const SAME: Verdict = { kind: 'same' };
const HEAD_LIMITS = [16 * 1024, 16 * 1024, 16 * 1024, 120];

export function compareRequests(random: Random): Verdict {
  const text = mutated(requestsText(random), random, REQUEST_SPICES);
  const bytes = Buffer.from(text, 'latin1');
  const maxHeadBytes = oneOf(random, HEAD_LIMITS);
  const ours = readWithOurs(pieces(bytes, random), maxHeadBytes, random);
  using theirs = new LlhttpRequests(maxHeadBytes);
  const looser = (why: string): Verdict => ({ kind: 'looser', why, text });
  let from = 0;
  for (const [index, end] of ours.ends.entries()) {
    theirs.feed(bytes.subarray(from, end - 1));
    if (theirs.ended > index) return looser('llhttp sees an end sooner');
    theirs.feed(bytes.subarray(end - 1, end));
    from = end;
    if (theirs.error !== undefined) return looser(theirs.error);
    if (theirs.ended <= index) return looser('llhttp sees no end');
    const why = difference(ours.requests[index], theirs.requests[index]);
    if (why !== undefined) return looser(why);
  }
  theirs.feed(bytes.subarray(from));
  return compareRest(ours, theirs, looser);
}

/** Behind the last request that has ended. */
function compareRest(ours: ReadRequests, theirs: LlhttpRequests, looser: (why: string) => Verdict): Verdict {
  const count = ours.ends.length;
  const told = ours.requests[count];
  const other = theirs.requests[count];
  if (told) {
    // Its head has been told of, and some of its body: all of that must be so, whatever becomes of the rest.
    if (!other?.body.startsWith(told.body)) return looser(`llhttp has no ${JSON.stringify(told)}`);
    const why = difference(
      { ...told, trailers: undefined, body: '' },
      { ...other, trailers: undefined, body: '' },
    );
    if (why !== undefined) return looser(why);
  }
  if (theirs.ended > count)
    return ours.error === undefined ? looser('llhttp sees an end') : { kind: 'stricter', why: ours.error };
  const ending = ours.requests.findIndex(
    ({ keepAlive }, index) => keepAlive !== theirs.requests[index]?.keepAlive,
  );
  return ending < 0 ? SAME : { kind: 'stricter', why: 'the connection ends' };
}

/** What another reader would take otherwise; to end the connection sooner is no such thing. */
function difference(ours: ReadRequest | undefined, theirs: ReadRequest | undefined): string | undefined {
  const comparable = { ...theirs, keepAlive: theirs?.keepAlive === true && ours?.keepAlive === true };
  return isDeepStrictEqual(ours, comparable)
    ? undefined
    : `${JSON.stringify(ours)} is not ${JSON.stringify(theirs)}`;
}
