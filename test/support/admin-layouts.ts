/** The worker and admin routes of one router, behind a listener in the same thread, at the other end of a port, or in a thread. */
import { once } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Admin } from '../../src/admin/admin.ts';
import { SharedMemory } from '../../src/base/thread-memory.ts';
import { aloneInRouter, type ThreadPart } from '../../src/base/thread-part.ts';
import { PortChannel, PortChannels } from '../../src/base/port-channel.ts';
import { configFromOptions } from '../../src/config/load/load.ts';
import { NO_PLUGINS } from '../../src/config/schema/plugin-policy-schema.ts';
import { LOCAL_PATHS } from '../../src/request/arrive/endpoints.ts';
import { dryRun } from '../../src/request/choose/dry-run.ts';
import { LISTENS, listenForControl, openListener, type ListenerOptions } from '../threads/admin-listener.ts';
import { startFleet, type Fleet, type FleetOptions } from './fleet.ts';

export const LAYOUTS = ['one thread', 'two ends of a port', 'a thread of its own'] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface AdminWorld extends AsyncDisposable {
  readonly fleet: Fleet;
  /** Of the listener that has nothing but these routes. */
  readonly port: number;
  readonly url: string;
  /** Control's, to the thread of the listener and to others. */
  readonly channels: PortChannels;
  /** Policies that were switched at the other end of the port. */
  readonly switched: readonly string[];
  /** Ends the thread as a fault would. */
  kill(): Promise<void>;
}

export interface WorldOptions extends Pick<FleetOptions, 'workers' | 'router' | 'log' | 'clock'> {
  readonly host?: string;
  readonly peer?: string;
}

export async function startAdminWorld(layout: Layout, options: WorldOptions = {}): Promise<AdminWorld> {
  const { host = '127.0.0.1', peer, ...rest } = options;
  const fleet = await startFleet({ workers: [], ...rest });
  const { adminApiKey, proxyOperatorRoutes } = fleet.app.runtime.settings;
  const listener: ListenerOptions = { host, peer, door: { adminApiKey, proxyOperatorRoutes } };
  const channels = new PortChannels();
  const part: ThreadPart =
    layout === 'one thread' ? aloneInRouter() : { kind: 'control', memory: new SharedMemory(1), channels };
  const admin = adminOver(fleet, part);
  await admin.prepare();
  const { port, stop, switched = [] } = await LISTEN[layout](listener, { admin, channels });
  return {
    fleet,
    ...{ port, switched, channels },
    url: `http://127.0.0.1:${port}`,
    kill: stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await admin.close();
      await fleet.stop();
    },
  };
}

interface Listening {
  readonly port: number;
  readonly switched?: readonly string[];
  readonly stop: () => Promise<void>;
}

interface Control {
  readonly admin: Admin;
  readonly channels: PortChannels;
}

const LISTEN: Readonly<
  Record<Layout, (options: ListenerOptions, control: Control) => Listening | Promise<Listening>>
> = {
  async 'one thread'(options, { admin }) {
    const edge = openListener(options, (req, res) => admin.handle(req, res));
    return {
      port: await edge.listen(),
      stop: async () => {
        const stopped = edge.stop();
        edge.cut();
        await stopped;
      },
    };
  },

  async 'two ends of a port'(options, { channels }) {
    const { port1, port2 } = new MessageChannel();
    channels.add(1, port1);
    const { edge, port, switched } = await listenForControl(new PortChannel(port2), options);
    return {
      port,
      switched,
      stop: async () => {
        const stopped = edge.stop();
        edge.cut();
        await stopped;
        port1.close();
        channels.end(1);
      },
    };
  },

  async 'a thread of its own'(options, { channels }) {
    const { port1, port2 } = new MessageChannel();
    const thread = new Worker(new URL('../threads/admin-listener-thread.ts', import.meta.url), {
      workerData: { options, port: port2 },
      transferList: [port2],
    });
    const { promise, resolve } = Promise.withResolvers<number>();
    channels.on(LISTENS, (_row, port) => {
      resolve(port);
    });
    channels.add(1, port1);
    const ended = once(thread, 'exit');
    void ended.then(() => {
      channels.end(1);
    });
    const port = await Promise.race([
      promise,
      ended.then(() => Promise.reject(new Error('the thread has ended before it listened'))),
    ]);
    return {
      port,
      stop: async () => {
        await thread.terminate();
      },
    };
  },
};

/** As `App` makes it. */
function adminOver({ app }: Fleet, part: ThreadPart): Admin {
  const { runtime } = app;
  const { policies, clients, settings } = runtime;
  const resolved = configFromOptions({ workerUrls: ['http://127.0.0.1:1'] });
  if (resolved.kind !== 'ok') throw new Error('the defaults are not valid');
  return new Admin({
    ...runtime,
    part,
    eventsOf: () => undefined,
    peerOf: () => undefined,
    tokenizersOf: () => [],
    keptAnswers: () => ({ backend: 'none', exact: 0, semantic: 0 }),
    redisLinks: () => [],
    flushAnswers: () => Promise.resolve({ count: 0 }),
    settings,
    config: resolved.config,
    policies,
    tenants: clients.tenants,
    plugins: NO_PLUGINS,
    inspect: () => Promise.resolve({ ok: false, reason: 'nobody looks' }),
    examine: () => Promise.resolve({ failures: ['nobody looks'], warnings: [] }),
    onInspected: () => undefined,
    explain: (request) => dryRun(runtime, request),
    reload: () => Promise.resolve({ kind: 'refused', message: 'no file', problems: [] }),
    threads: () => ({ configured: 1, serving: 1 }),
    proofOf: () => undefined,
    proofByModel: () => new Map(),
    loaded: () => ({ source: undefined, loadedAt: 0, waiting: [] }),
    localRoutes: LOCAL_PATHS,
  });
}
