import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { inOneGo, type Pieces } from '../base/in-pieces.ts';
import { parsingInParts } from './json-parts.ts';

const parsed = (text: string): unknown => inOneGo(parsingInParts(Buffer.from(text)));

/** How often others had their turn. */
function turnsOf(work: Pieces<unknown>): number {
  let turns = 0;
  while (work.next().done !== true) turns += 1;
  return turns;
}

/** Of some length, so that the text is taken apart. */
const long = (text: string, bytes: number): string => text.repeat(Math.ceil(bytes / text.length));

describe('a JSON object that is parsed in parts', () => {
  it('has the value that it has when it is parsed at once', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const filler = fc.constantFrom('plain', 'a"q', '\\', '[', ']}', ',', 'ü', '\u2028');
    fc.assert(
      fc.property(fc.array(value, { maxLength: 6 }), filler, fc.nat(2), (some, text, space) => {
        const items = Array.from({ length: 6000 }, (_, index) => [
          text.repeat(index % 7),
          some[index % (some.length + 1)] ?? index,
        ]);
        const whole = { before: some, items, within: { items, text }, after: null };
        const json = JSON.stringify(whole, undefined, space);
        assert.deepEqual(parsed(json), JSON.parse(json));
      }),
      { numRuns: 25 },
    );
  });

  it('lets others have their turn, after 128 KiB at most', () => {
    const json = `{"results":[${long('{"a":[1,2,{"b":"c"}]},', 4_000_000)}0]}`;
    const turns = turnsOf(parsingInParts(Buffer.from(json)));
    assert.ok(turns >= json.length / (128 * 1024), `${turns}`);
  });

  it('may be short, and anything', () => {
    for (const text of ['{}', '[1]', '"a"', 'null', '{"a":[]}'])
      assert.deepEqual(parsed(text), JSON.parse(text));
    for (const text of ['', '{', '{"a":}', 'nonsense']) assert.equal(parsed(text), undefined);
  });

  it('is none where a long list in it is none, or an item would take too long', () => {
    const items = long('[1],', 300_000);
    for (const text of [
      `{"a":[${items}]}`,
      `{"a":[${items}1}]`,
      `{"a":[${items}1},"b":2}`,
      `{"a":[${items},1]}`,
      `{"a":[,${items}1]}`,
      `{"a":[${items}x]}`,
      `{"a":[${items}1]`,
      `{"a":[${items}"${long('x', 200_000)}"]}`,
      `{"a":[[${items}1]]}`,
      `{"a":"${long('x', 200_000)}"}`,
      `[${items}1]`,
    ])
      assert.equal(parsed(text), undefined, text.slice(0, 9));
    assert.notEqual(parsed(`{"a":[${items}1]}`), undefined);
  });

  it('is none where it has more members than anybody reads', () => {
    const members = Array.from({ length: 5000 }, (_, index) => `"instance number ${index}":${index}`);
    assert.equal(parsed(`{"counts":{${members.join()}}}`), undefined);
    assert.notEqual(parsed(`{"counts":{${members.slice(0, 4000).join()}}}`), undefined);
  });
});
