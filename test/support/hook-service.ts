import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Received } from './scripted-worker.ts';
import { eventually } from './fleet.ts';

/** What a hook says: an object is sent as JSON; a function answers by itself, or not at all. */
export type HookAnswer =
  | object
  | ((request: Received, response: ServerResponse) => object | undefined | Promise<object | undefined>);

/** A service that answers as the test says. */
export interface HookService extends AsyncDisposable {
  readonly url: string;
  readonly calls: readonly Received[];
  /** Throws when there is none. */
  readonly last: Received;
  answer: HookAnswer;
  /** Connections ever made to it. */
  readonly connections: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Resolves when that many calls have come. */
  called(count: number): Promise<void>;
  /** Cuts every connection. */
  cut(): void;
}

export const ALLOW = { action: 'allow' } as const;

/** Starts one on a free port of the loopback, or on a socket; it allows everything unless told otherwise. */
export async function startHook(answer: HookAnswer = ALLOW, socketPath?: string): Promise<HookService> {
  const calls: Received[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { method = '', url = '', rawHeaders, headers } = request;
      const received = { method, url, rawHeaders, headers, body: Buffer.concat(parts) };
      calls.push(received);
      void reply(received, response);
    });
  });
  const reply = async (received: Received, response: ServerResponse): Promise<void> => {
    const { answer: current } = service;
    const said: unknown = typeof current === 'function' ? await current(received, response) : current;
    if (said !== undefined)
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said));
  };
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  if (socketPath === undefined) server.listen(0, '127.0.0.1');
  else server.listen(socketPath);
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const service: HookService = {
    url:
      socketPath === undefined
        ? `http://127.0.0.1:${(server.address() as AddressInfo).port}/check`
        : `unix://${socketPath}:/check`,
    calls,
    get last() {
      const last = calls.at(-1);
      if (!last) throw new Error('the hook has not been asked');
      return last;
    },
    answer,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    called: (count) => eventually(() => calls.length >= count),
    cut,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
  return service;
}

/** A transform that changes the parsed body. */
export function transform(change: (body: Record<string, unknown>) => object): HookAnswer {
  return ({ body }) => ({
    action: 'transform',
    body: change(JSON.parse(body.toString()) as Record<string, unknown>),
  });
}
