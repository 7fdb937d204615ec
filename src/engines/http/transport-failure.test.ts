import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toFailure } from './transport-failure.ts';

function failure(code: string, sent: boolean): { code: string; message: string } {
  const error = Object.assign(new Error('Host: gpu1.internal. is not in the names'), { code });
  const { code: mapped, message } = toFailure(error, sent);
  return { code: mapped, message };
}

describe('a connection that is not agreed on', () => {
  const none = 'no connection to the worker could be made';
  for (const [code, reason] of [
    ['CERT_HAS_EXPIRED', 'its certificate has expired'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in its chain'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is self-signed'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for another name'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'it asks for a certificate of the router'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', "it does not accept the router's certificate"],
    ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', "it does not accept the router's certificate"],
  ] as const) {
    it(`is a failed connection, sent or not, and says why but no name: ${code}`, () => {
      // With TLS 1.3 a worker looks at the router's certificate when the request is under way.
      for (const sent of [false, true])
        assert.deepEqual(failure(code, sent), {
          code: 'connect_failed',
          message: `${none} (${reason}: ${code})`,
        });
    });
  }

  it('that breaks later is a connection that was closed', () => {
    assert.equal(failure('ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC', true).code, 'worker_closed');
    assert.equal(failure('ECONNRESET', true).code, 'worker_closed');
    assert.deepEqual(failure('ECONNREFUSED', false), {
      code: 'connect_failed',
      message: `${none} (ECONNREFUSED)`,
    });
  });
});
