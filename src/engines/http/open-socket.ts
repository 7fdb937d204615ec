import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { ProxyAddress } from '../../config/settings/settings.ts';
import { ConnectTimeout } from './connect-timeout.ts';
import type { Opened } from './outbound-sockets.ts';
import { openTunnel } from './proxy-tunnel.ts';
import type { WorkerAddress } from './worker-address.ts';
import type { TlsOptions } from './worker-tls.ts';

export interface SocketOptions {
  readonly address: WorkerAddress;
  readonly tls: TlsOptions | undefined;
  /** Of an earlier connection to the same server: spares half of the handshake. */
  readonly session: Buffer | undefined;
  /** What it is reached through; only behind TLS. */
  readonly proxy?: ProxyAddress | undefined;
  readonly connectMs: number;
  readonly clock: Clock;
  /** Told what a later connection may resume. */
  readonly onSession: (session: Buffer) => void;
}

/**
 * All connections read into this memory: what has come is dealt with before anything else is read, so one piece is enough,
 * and a stream of tokens costs no allocation for each read.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 30_000, noDelay: true } as const;

/**
 * Begins to connect; gives the socket at once, `done` hears how it went. `onBytes` gets what is read, in memory that is used
 * again; without it the socket is read as a stream.
 */
export function openSocket(
  options: SocketOptions,
  onBytes: ((bytes: Buffer) => void) | undefined,
  done: Opened,
): Socket {
  const { address, clock, connectMs, proxy } = options;
  if (proxy && address.tls) return openBehind(proxy, options, onBytes, done);
  const socket = connectSocket(options, onBytes);
  const timer = clock.after(connectMs, () => {
    socket.destroy(new ConnectTimeout(connectMs));
  });
  const event = address.tls ? 'secureConnect' : 'connect';
  const settle = (error: Error | null): void => {
    timer.cancel();
    socket.off(event, onConnect).off('close', onClose).off('error', settle);
    // It was told once, and nobody is left to hear it again.
    if (error) socket.on('error', () => undefined);
    done(error, error ? null : socket);
  };
  const onConnect = (): void => {
    settle(null);
  };
  const onClose = (): void => {
    settle(new Error('closed before it was connected'));
  };
  return socket.on(event, onConnect).on('close', onClose).on('error', settle);
}

/** The same through a proxy, whose own connection is there first. */
function openBehind(
  proxy: ProxyAddress,
  options: SocketOptions,
  onBytes: ((bytes: Buffer) => void) | undefined,
  done: Opened,
): Socket {
  const { address, clock, connectMs } = options;
  let isOver = false;
  const settle = (error: Error | null, socket: Socket | null): void => {
    if (isOver) return;
    isOver = true;
    timer.cancel();
    done(error, socket);
  };
  const onError = (error: Error): void => {
    settle(error, null);
  };
  const onClose = (): void => {
    settle(new Error('closed before it was connected'), null);
  };
  const { host, port } = 'host' in address.connect ? address.connect : { host: '', port: 0 };
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const tunnel = openTunnel(proxy, authority, (socket) => {
    const secured = connectTls({ socket, host, ...securing(options) }).on('session', options.onSession);
    secured
      .once('secureConnect', () => {
        secured.off('error', onError).off('close', onClose);
        // A socket of somebody else's has no memory of ours to read into.
        if (onBytes) secured.on('data', onBytes);
        settle(null, secured);
      })
      .on('error', onError)
      .on('close', onClose);
  });
  const timer = clock.after(connectMs, () => {
    tunnel.destroy(new ConnectTimeout(connectMs));
  });
  return tunnel.on('error', onError).on('close', onClose);
}

function connectSocket(
  { address, tls, session, onSession }: SocketOptions,
  onBytes: ((bytes: Buffer) => void) | undefined,
): Socket {
  const onread = onBytes && {
    buffer: READ_BUFFER,
    callback: (size: number) => {
      onBytes(READ_BUFFER.subarray(0, size));
      return true;
    },
  };
  const options: ConnectionOptions = { ...KEEP_ALIVE, ...address.connect, ...(onread && { onread }) };
  // A port or a path is always among them: TLS just takes more than TCP does.
  if (!address.tls) return connect(options as NetConnectOpts);
  return connectTls({ ...options, ...securing({ address, tls, session }) }).on('session', onSession);
}

function securing({
  address,
  tls,
  session,
}: Pick<SocketOptions, 'address' | 'tls' | 'session'>): ConnectionOptions {
  return {
    ALPNProtocols: ['http/1.1'],
    ...(address.serverName === undefined ? {} : { servername: address.serverName }),
    ...(session && { session }),
    ...tls,
  };
}
