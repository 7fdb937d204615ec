import type { EdgeEvents } from '../http/server.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';

/** What the listener tells of connections that bring no request, in metrics and log. */
export function edgeEvents(metrics: Metrics, log: Log, onShortage: EdgeEvents['onShortage']): EdgeEvents {
  return {
    onRefused: (code) => {
      metrics.requestErrorsTotal.with('unmatched', code).inc();
      log.debug({ error: code }, 'refused a connection');
    },
    onHandshakeFailure: (reason) => {
      metrics.tlsHandshakeFailuresTotal.with(reason).inc();
      log.debug({ reason }, 'a TLS handshake failed');
    },
    onShortage,
    onCertificate: ({ expiresAt }) => {
      metrics.tlsCertificateExpiryTimestampSeconds.with().set(expiresAt / 1000);
      log.info({ valid_until: new Date(expiresAt).toISOString() }, 'new connections get this certificate');
    },
  };
}
