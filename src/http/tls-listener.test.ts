import assert from 'node:assert/strict';
import { it } from 'node:test';
import { handshakeFailureOf } from './tls-listener.ts';

for (const [code, failure] of [
  ['ERR_SSL_HTTP_REQUEST', 'plain_http'],
  ['ERR_TLS_HANDSHAKE_TIMEOUT', 'timeout'],
  ['ECONNRESET', 'closed'],
  // What curl and Python say to a certificate that they do not trust, or that is for another name or time.
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'refused_by_client'],
  ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'refused_by_client'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN', 'refused_by_client'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'refused_by_client'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'no_common_version'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'no_common_version'],
  ['ERR_SSL_NO_SHARED_CIPHER', 'no_common_version'],
  // A client that speaks HTTP/2 only.
  ['ERR_SSL_NO_APPLICATION_PROTOCOL', 'no_common_version'],
  ['ERR_SSL_UNEXPECTED_MESSAGE', 'other'],
  [undefined, 'other'],
] as const) {
  it(`a handshake that fails with ${code} counts as ${failure}`, () => {
    assert.equal(handshakeFailureOf({ code }), failure);
  });
}
