import { connect, type Socket } from 'node:net';
import type { ProxyAddress } from '../../config/settings/settings.ts';

/** The proxy does not connect, or says what nobody understands. */
export class ProxyRefused extends Error {
  override readonly name = 'ProxyRefused';
  readonly code: string;

  constructor(status: string) {
    super('the proxy does not connect');
    this.code = `PROXY_${status}`;
  }
}

/** Longer than any answer of a proxy that is one. */
const MOST_HEAD_BYTES = 16_384;
const END = '\r\n\r\n';

/**
 * Begins to have a proxy connect to `authority`, `host:port`; gives the socket to the proxy at once. `onOpen` is called when it
 * leads there and reads nothing; until then the socket is destroyed with an error where that does not come about.
 */
export function openTunnel(
  { host, port, authorization }: ProxyAddress,
  authority: string,
  onOpen: (socket: Socket) => void,
): Socket {
  const socket = connect({ host, port, keepAlive: true, keepAliveInitialDelay: 30_000, noDelay: true });
  const credentials = authorization === undefined ? '' : `proxy-authorization: ${authorization}\r\n`;
  let head = Buffer.alloc(0);
  const onData = (bytes: Buffer): void => {
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf(END);
    if (end < 0) {
      if (head.length > MOST_HEAD_BYTES) socket.destroy(new ProxyRefused('BAD_ANSWER'));
      return;
    }
    socket.off('data', onData).off('end', onEnd);
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1', 0, end))?.[1];
    // What is there speaks only when it is spoken to.
    if (status?.startsWith('2') === true && head.length === end + END.length) {
      socket.pause();
      onOpen(socket);
    } else socket.destroy(new ProxyRefused(status ?? 'BAD_ANSWER'));
  };
  const onEnd = (): void => {
    socket.destroy(new ProxyRefused('CLOSED'));
  };
  return socket
    .once('connect', () => {
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`, 'latin1');
    })
    .on('data', onData)
    .on('end', onEnd);
}
