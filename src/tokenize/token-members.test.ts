import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tokenMembers } from './token-members.ts';

const members = (json: string): string | undefined => tokenMembers(Buffer.from(json))?.toString('utf8');

describe('what of a body decides its tokens', () => {
  it('is in the order of names, as it was written, without what concerns the answer', () => {
    assert.equal(
      members(
        '{"stream": true, "tools":[{"minimum": 1.0}], "messages" : [ "ä\\u00e4" ], "model":"m", "seed":1}',
      ),
      '{"messages":[ "ä\\u00e4" ],"tools":[{"minimum": 1.0}]}',
    );
  });

  it('has members that are not known', () => {
    assert.equal(
      members('{"thinking":{"type":"enabled"},"temperature":0}'),
      '{"thinking":{"type":"enabled"}}',
    );
  });

  it('has the last one of two with one name, however it is spelt', () => {
    assert.equal(members('{"prompt":"a","prom\\u0070t":"b"}'), '{"prompt":"b"}');
  });

  it('is nothing where there is nothing, and undefined for what is no object', () => {
    assert.equal(members('\ufeff{}'), '{}');
    assert.equal(members('{"model":"m"}'), '{}');
    assert.equal(members('[]'), undefined);
    assert.equal(members('{"a":'), undefined);
  });
});
