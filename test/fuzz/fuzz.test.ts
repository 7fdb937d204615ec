import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, type Random } from '../../src/base/random.ts';
import { fuzz } from './fuzz.ts';
import { LlhttpRequests } from './llhttp-requests.ts';
import { EdgeListener } from './edge-listener.ts';
import { mutated, pieces } from './mutate.ts';
import { NodeServer } from './node-server.ts';
import { REQUEST_SPICES, requestsText } from './request-texts.ts';
import { compareRequests } from './requests.ts';
import { compareResponse } from './responses.ts';

const MESSAGES = 20_000;
const CONNECTIONS = 3_000;
const HEAD_BYTES = 400;

for (const [what, compare, alikePerRefused] of [
  ['responses', compareResponse, 50],
  // Several on a connection, where one is enough; Host, target and size of the head are looked at, too.
  ['requests', compareRequests, 5],
] as const) {
  test(`what the parser of ${what} takes, llhttp takes too, and reads alike`, () => {
    const { looser, stricter, same } = fuzz(compare, MESSAGES, 1);
    assert.deepEqual(looser, []);
    // A parser that refused everything would not be looser either.
    const refused = [...stricter.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(same > alikePerRefused * refused, `${same} alike, ${refused} refused`);
  });
}

/** What one connection brings, with accidents in it, and what llhttp makes of it. */
function someRequests(random: Random) {
  const text = mutated(requestsText(random), random, REQUEST_SPICES);
  const bytes = Buffer.from(text, 'latin1');
  using theirs = new LlhttpRequests(HEAD_BYTES);
  theirs.feed(bytes);
  return { text, bytes, theirs };
}

test('llhttp, as it is asked here, takes what a server of node:http takes', async () => {
  await using server = await NodeServer.listen(HEAD_BYTES);
  const random = seededRandom(2);
  let refused = 0;
  for (let done = 0; done < CONNECTIONS; done += 1) {
    const { text, bytes, theirs } = someRequests(random);
    const served = await server.read(bytes);
    // Node hands over what is behind a tunnel, and forgets what has come with a request that would switch protocols.
    const last = theirs.requests.findIndex(({ method, upgrades }) => method === 'CONNECT' || upgrades);
    const count = last < 0 ? theirs.requests.length : last;
    assert.deepEqual(
      served.requests.slice(0, count),
      theirs.requests.slice(0, count).map(({ keepAlive: _, upgrades: __, ...request }) => request),
      JSON.stringify(text),
    );
    if (last >= 0) continue;
    assert.equal(served.refused, theirs.error !== undefined, JSON.stringify(text));
    if (served.refused) refused += 1;
  }
  assert.ok(refused > CONNECTIONS / 20, `${refused} refused`);
});

test('what the listener serves, llhttp takes, and reads alike', async () => {
  await using edge = await EdgeListener.listen(HEAD_BYTES);
  const random = seededRandom(3);
  let whole = 0;
  let refused = 0;
  for (let done = 0; done < CONNECTIONS; done += 1) {
    const { text, bytes, theirs } = someRequests(random);
    const read = await edge.read(pieces(bytes, random));
    if (read.refused) refused += 1;
    for (const [index, { body, ended, ...head }] of read.served.entries()) {
      const other = theirs.requests[index];
      assert.ok(other, JSON.stringify(text));
      const { method, target, version, headers, trailers } = other;
      assert.deepEqual(head, { method, target, version, headers }, JSON.stringify(text));
      assert.equal(body, other.body.slice(0, ended ? undefined : body.length), JSON.stringify(text));
      assert.ok(!ended || trailers !== undefined, JSON.stringify(text));
      if (ended) whole += 1;
    }
  }
  assert.ok(whole > CONNECTIONS && refused > CONNECTIONS / 20, `${whole} served whole, ${refused} refused`);
});
