/** Responses with accidents in them, read by the router's parser and by llhttp. */
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../src/base/random.ts';
import { readWithLlhttp } from './llhttp-response.ts';
import { mutated, oneOf, pieces } from './mutate.ts';
import { readWithOurs } from './read-response.ts';
import { responseText } from './response-texts.ts';
import type { Verdict } from './verdict.ts';

export function compareResponse(random: Random): Verdict {
  const text = mutated(responseText(random), random);
  const bytes = Buffer.from(text, 'latin1');
  const method = random() < 0.1 ? 'HEAD' : oneOf(random, ['GET', 'POST']);
  const ended = random() < 0.5;
  const ours = readWithOurs(pieces(bytes, random), method, ended);
  // Each response is one to llhttp: an interim one that ends the connection ends nothing for us, for the final one follows.
  const heads = endsOfHeads(text, ours.statuses.filter((status) => status < 200 && status !== 101).length);
  const from = heads.at(-1) ?? 0;
  const whole = readWithLlhttp(bytes.subarray(from), method, ended);
  if (ours.error !== undefined)
    return whole.done && whole.error === undefined ? { kind: 'stricter', why: ours.error } : { kind: 'same' };
  if (!ours.done) {
    // Bytes of a next response cannot be told from those of this one while it has no end.
    return whole.done ? { kind: 'looser', why: 'llhttp sees an end', text } : { kind: 'same' };
  }
  for (const [index, end] of heads.entries()) {
    const interim = readWithLlhttp(bytes.subarray(heads[index - 1] ?? 0, end), method, false);
    if (interim.error !== undefined) return { kind: 'looser', why: interim.error, text };
  }
  const { used, error: _, statuses, ...read } = ours;
  const { error, ...other } = readWithLlhttp(bytes.subarray(from, used), method, ended);
  if (error !== undefined) return { kind: 'looser', why: error, text };
  if (other.statuses.at(-1) === 101) return { kind: 'same' };
  return isDeepStrictEqual({ ...read, statuses: statuses.slice(-1) }, other)
    ? { kind: 'same' }
    : { kind: 'looser', why: `${JSON.stringify(read)} is not ${JSON.stringify(other)}`, text };
}

/** Where the first so many heads end. */
function endsOfHeads(text: string, count: number): number[] {
  const ends: number[] = [];
  for (let at = 0; ends.length < count; ends.push(at)) at = text.indexOf('\r\n\r\n', at) + 4;
  return ends;
}
