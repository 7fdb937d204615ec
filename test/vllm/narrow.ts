import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * The way to a server, through which everything passes and which can be closed: the server behind it is as well as ever, and to
 * whoever comes this way it hangs, or dies.
 */
export interface Narrow extends AsyncDisposable {
  readonly url: string;
  /** Nothing passes any more, and no connection ends: as of a process that was stopped. */
  hold(): void;
  /** Everything is cut, and nobody is let in: as of a process that was killed. */
  shut(): void;
  open(): void;
}

export async function narrowWayTo(url: string): Promise<Narrow> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let state: 'open' | 'held' | 'shut' = 'open';
  const server = createServer((near) => {
    if (state === 'shut') {
      near.resetAndDestroy();
      return;
    }
    const far = connect(Number(port), hostname);
    near.pipe(far);
    far.pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      if (state === 'held') one.pause();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(at.port)}`,
    hold() {
      state = 'held';
      for (const socket of sockets) socket.pause();
    },
    shut() {
      state = 'shut';
      for (const socket of sockets) socket.resetAndDestroy();
    },
    open() {
      state = 'open';
      for (const socket of sockets) socket.resume();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
