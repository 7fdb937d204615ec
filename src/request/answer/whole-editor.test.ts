import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JsonEditor } from './json-editor.ts';
import { pdEdits } from './pd-edit.ts';
import { WholeEditor } from './whole-editor.ts';

fc.configureGlobal({ seed: 12 });

const EDITS = pdEdits({ cachedTokens: 7 });

function through(editor: WholeEditor | JsonEditor, chunks: readonly string[]): string {
  const out = chunks.map((chunk) => editor.push(Buffer.from(chunk)).toString());
  return [...out, editor.end().toString()].join('');
}

/** Cut in two, anywhere. */
const cut = (text: string, at: number): string[] => {
  const place = at % (text.length + 1);
  return [text.slice(0, place), text.slice(place)];
};

describe('an answer that is changed when it is whole', () => {
  it('is what it would be if it were changed on its way', () => {
    const member = fc.oneof(
      fc.constantFrom('"kv_transfer_params":{"remote_host":"h"}', '"kv_transfer\\u005fparams" : [1]'),
      fc.constantFrom(
        '"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}',
        '"usage":null',
      ),
      fc.json().map((json) => `"other":${json}`),
      fc.tuple(fc.string(), fc.json()).map(([key, json]) => `${JSON.stringify(key)} :\n${json}`),
    );
    const keyOf = (text: string): string => text.slice(0, text.indexOf(':')).trim().replace('\\u005f', '_');
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: keyOf }), fc.nat(), (members, at) => {
        const text = ` {${members.join(',')}}\n`;
        assert.equal(through(new WholeEditor(EDITS), cut(text, at)), through(new JsonEditor(EDITS), [text]));
      }),
      { numRuns: 1000 },
    );
  });

  it('says nothing of hosts, however often it does and whatever it is', () => {
    for (const text of [
      '{"kv_transfer_params":null,"kv_transfer_params":{"remote_host":"h"},"kv_transfer_params":{"remote_host":"i"}}',
      '{"kv_transfer_params":{"remote_host":"h"}} and more',
      '{"kv_transfer_params":{"remote_host":"h"}',
    ])
      assert.doesNotMatch(through(new WholeEditor(EDITS), [text]), /remote_host/);
  });
});
