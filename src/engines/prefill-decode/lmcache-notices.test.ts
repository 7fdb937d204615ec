import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encode } from '@msgpack/msgpack';
import { readNotice } from './lmcache-notices.ts';

describe('a notice', () => {
  it('names its request, as msgspec encodes it', () => {
    // msgspec.msgpack.encode(ProxyNotif(req_id="r-1"))
    const bytes = Buffer.from('82a474797065aa50726f78794e6f746966a67265715f6964a3722d31', 'hex');
    assert.equal(readNotice(bytes), 'r-1');
    assert.equal(
      readNotice(Buffer.from(encode({ req_id: 'r', more: [1, { a: 2 }], type: 'ProxyNotif' }))),
      'r',
    );
  });

  it('is none where it is of another type, without a request, cut off, or something stands behind it', () => {
    const whole = Buffer.from(encode({ type: 'ProxyNotif', req_id: 'r' }));
    for (const bytes of [
      encode({ type: 'AllocRequest', req_id: 'r' }),
      encode({ type: 'ProxyNotif' }),
      encode({ req_id: 'r' }),
      encode({ type: 'ProxyNotif', req_id: 7 }),
      encode({ type: 'ProxyNotif', req_id: 'r'.repeat(257) }),
      encode(['ProxyNotif', 'r']),
      whole.subarray(0, -1),
      Buffer.concat([whole, whole]),
      Buffer.alloc(0),
    ])
      assert.equal(readNotice(Buffer.from(bytes)), undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        readNotice(Buffer.from(bytes));
      }),
    );
  });
});
