import type { Duplex } from 'node:stream';
import type { Timer } from '../../base/clock.ts';
import { RouterError } from '../../base/errors.ts';
import { endToEnd, headerOf } from '../../http/headers.ts';
import { HEADER_PROTOCOL, isKey, offeredProtocols } from '../../http/protocol-key.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Head } from './attempt.ts';
import { addRouterHeaders } from '../answer/response-headers.ts';
import type { Runtime } from '../runtime.ts';

/** How long one side may go on when the other has ended: a WebSocket has nothing to say to half a connection. */
const FAREWELL_MS = 5_000;

/** Joins the client's and the worker's sockets after a WebSocket handshake. Resolves when both are closed. */
export function relayTunnel(rt: Runtime, arrival: Arrival, head: Head, worker: Duplex): Promise<void> {
  const { tunnel, res, decision } = arrival;
  if (!tunnel) {
    worker.destroy();
    return Promise.reject(new Error('the worker upgraded a connection that did not ask for it'));
  }
  const client = tunnel.socket;
  if (client.destroyed) {
    worker.destroy();
    return Promise.reject(new RouterError('client_closed', 'the client left in the moment the tunnel stood'));
  }
  const early = tunnel.open();
  res.leave();
  decision.status = head.status;
  arrival.times.head = rt.clock.now();
  const headers = endToEnd(head.headers, (name) => name === 'x-request-id' || name === 'content-length');
  headers.push('connection', 'upgrade', 'upgrade', 'websocket');
  agreeOnProtocol(headers, arrival.req.rawHeaders);
  addRouterHeaders(rt, arrival, headers, arrival.times.head);
  client.write(serializeHead(head.status, headers));
  if (early.length > 0) worker.write(early);
  return join(rt, arrival, client, worker);
}

/**
 * A client that offered nothing but its key offered the worker nothing: it gets back what it sent, since browsers close
 * a WebSocket on which none of their protocols was chosen.
 */
function agreeOnProtocol(headers: string[], clientHeaders: readonly string[]): void {
  if (headerOf(headers, HEADER_PROTOCOL) !== undefined) return;
  const offered = offeredProtocols(clientHeaders);
  if (offered[0] !== undefined && offered.every(isKey)) headers.push(HEADER_PROTOCOL, offered[0]);
}

function join(rt: Runtime, arrival: Arrival, client: Duplex, worker: Duplex): Promise<void> {
  const { decision } = arrival;
  const cut = (): void => {
    client.destroy();
    worker.destroy();
  };
  const idle = rt.clock.after(rt.settings.timeouts.tunnelIdleMs, cut);
  // The pipe passes an end on; whoever does not answer it with its own would hold the place until the idle timeout.
  let farewell: Timer | undefined;
  const onEnd = (): void => {
    farewell ??= rt.clock.after(FAREWELL_MS, cut);
  };
  client.once('end', onEnd);
  worker.once('end', onEnd);
  client.on('data', (chunk: Buffer) => {
    idle.refresh();
    decision.request_bytes += chunk.length;
  });
  worker.on('data', (chunk: Buffer) => {
    idle.refresh();
    decision.response_bytes += chunk.length;
  });
  client.pipe(worker);
  worker.pipe(client);
  return new Promise((resolve) => {
    let open = 2;
    const closed = (other: Duplex): void => {
      // An end on one side is passed on by the pipe; a reset is not.
      other.destroy();
      open -= 1;
      if (open > 0) return;
      idle.cancel();
      farewell?.cancel();
      resolve();
    };
    const ignore = (): void => {
      /* 'close' follows and does the work */
    };
    client.on('error', ignore);
    worker.on('error', ignore);
    client.once('close', () => {
      closed(worker);
    });
    worker.once('close', () => {
      closed(client);
    });
  });
}

function serializeHead(status: number, headers: readonly string[]): string {
  let text = `HTTP/1.1 ${status} Switching Protocols\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`;
  return `${text}\r\n`;
}
