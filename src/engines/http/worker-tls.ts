import { createSecureContext, type SecureContext } from 'node:tls';
import type { WorkerTls } from '../../config/settings/settings.ts';

/** What `tls.connect` is told beside the address. */
export interface TlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
  readonly servername?: string;
}

/** Authorities are read once for a fleet, not for every connection. */
const contexts = new WeakMap<WorkerTls, SecureContext>();

export function tlsOptions(tls: WorkerTls): TlsOptions {
  let secureContext = contexts.get(tls);
  if (!secureContext) {
    const { ca, cert, key } = tls;
    secureContext = createSecureContext({ ca, cert, key });
    contexts.set(tls, secureContext);
  }
  const { serverName, verify } = tls;
  return {
    secureContext,
    rejectUnauthorized: verify,
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

const UNVOUCHED = 'no known authority vouches for its certificate';
const NOT_ACCEPTED = "it does not accept the router's certificate";

/** By OpenSSL's and Node's codes. Their own messages name hosts, which clients should not read. */
const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_REVOKED: 'its certificate has been revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'self-signed certificate in its chain',
  UNABLE_TO_GET_ISSUER_CERT: UNVOUCHED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNVOUCHED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNVOUCHED,
  CERT_UNTRUSTED: UNVOUCHED,
  INVALID_CA: UNVOUCHED,
  CERT_SIGNATURE_FAILURE: UNVOUCHED,
  INVALID_PURPOSE: 'its certificate is for another purpose',
  HOSTNAME_MISMATCH: 'its certificate is for another name',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  EPROTO: 'no agreement on how to speak TLS, or it asks for a certificate',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'it speaks no common version of TLS',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'it speaks no common version of TLS',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it asks for a certificate of the router',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'no agreement on how to speak TLS, or it asks for a certificate',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE': 'no agreement on how to speak TLS, or it asks for a certificate',
};

const REFUSED =
  /^ERR_SSL_(SSLV3|TLSV1|TLSV13|SSL\/TLS)_ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)$/;

/** Why there is no TLS connection to a worker, in words; undefined for an error that is not about that. */
export function tlsReason(code: string): string | undefined {
  return REASONS[code] ?? (REFUSED.test(code) ? NOT_ACCEPTED : undefined);
}
