import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { App } from '../app.ts';
import { planDescriptors } from '../app/descriptors.ts';
import { configFromOptions } from '../config/load/load.ts';
import type { Settings } from '../config/settings/settings.ts';
import { createLog, type Log } from '../observe/log.ts';
import type { LogSink } from '../observe/log-sink.ts';
import { answerAsEngine } from './canned-engine.ts';
import { chatOn, openClient, type Client } from './chats.ts';
import { compileSooner } from './compile-sooner.ts';

export interface WarmUpDeps {
  /** Where the one line about it goes. */
  readonly log: Log;
  /** Whether there are requests of others, which go first and warm up better, or the router stops. */
  readonly isBusy: () => boolean;
}

/** CPU time of the whole process, compilers and collector included; what is begun then is ended within the 300 ms. */
const BUDGET_MS = 270;
/** However little of a core there is. */
const LONGEST_MS = 5_000;
const CLIENTS = 4;
/** Servers behind one port, told apart by their prefix: choosing among one is not what will be asked. */
const WORKERS = ['a', 'b', 'c', 'd'];

type End = 'done' | 'busy' | 'late';

/**
 * Chats of nobody go through a router of their own in this process, so that the code has been compiled before somebody's do: the
 * first requests of a process cost many times what later ones do. Everything that they touch is that router's: metrics,
 * records, log, index, loads, workers. What it has of the real one are the policy and how lines and headers are written;
 * plugins, hooks and key services are not asked.
 *
 * It listens on the loopback, on a port that nobody is told, for as long as it takes: at most 300 ms of CPU, in steps of one
 * exchange, and not longer than nobody else wants something. Never rejects.
 */
export async function warmUp(settings: Settings, { log, isBusy: isOver }: WarmUpDeps): Promise<void> {
  const began = performance.now();
  const spent = cpuClock();
  const asUsual = compileSooner();
  try {
    const mayGoOn = (): End | undefined => {
      if (isOver()) return 'busy';
      if (spent() >= BUDGET_MS) return 'done';
      return performance.now() - began > LONGEST_MS ? 'late' : undefined;
    };
    const { end, chats } = await runChats(settings, mayGoOn);
    const duration = { duration_ms: Math.round(performance.now() - began), cpu_ms: Math.round(spent()) };
    log.debug({ end, chats, ...duration }, 'warmed up');
  } catch (error) {
    log.debug({ err: error }, 'the warm-up failed');
  } finally {
    asUsual();
  }
}

function cpuClock(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}

async function runChats(
  settings: Settings,
  mayGoOn: () => End | undefined,
): Promise<{ readonly end: End; readonly chats: number }> {
  const engine = createServer({ noDelay: true }, answerAsEngine);
  const clients: Client[] = [];
  let app: App | undefined;
  try {
    const enginePort = await listening(engine);
    app = throwAwayRouter(settings, enginePort);
    const { port } = await app.start();
    if (!(await app.firstWorker())) throw new Error('the engine is not found healthy');
    for (let n = 0; n < CLIENTS; n++) clients.push(await openClient(port));
    let chats = 0;
    let end: End | undefined;
    const run = async (client: Client, first: number): Promise<void> => {
      for (let n = first; (end ??= mayGoOn()) === undefined; n += CLIENTS) {
        await chatOn(client, n);
        chats += 1;
      }
    };
    await Promise.all(clients.map((client, index) => run(client, index)));
    return { end: end ?? 'done', chats };
  } finally {
    for (const client of clients) client.close();
    await app?.stop({ immediately: true });
    await closed(engine);
  }
}

async function listening(server: Server): Promise<number> {
  server.listen({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the engine has no port');
  return address.port;
}

/** When its connections have closed too; the router has ended them. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

/** A router with defaults and as little memory as it can do with, that chooses and writes like the real one. */
function throwAwayRouter(settings: Settings, enginePort: number): App {
  const workerUrls = WORKERS.map((name) => `http://127.0.0.1:${enginePort}/${name}`);
  const resolved = configFromOptions({
    ...{ workerUrls, host: '127.0.0.1', port: 0, metrics: { enabled: false } },
    workerStartupTimeoutSecs: LONGEST_MS / 1000,
    ...{ cacheIndex: { maxBytes: 2 ** 20 }, decisionRing: { maxRecords: 16 } },
  });
  if (resolved.kind === 'error') throw new Error(resolved.problems.map(({ message }) => message).join('; '));
  const { policy, log, hashKey, requestIdHeaders, exposeRoutingHeaders } = settings;
  return new App(
    {
      ...resolved.settings,
      ...{ hashKey, requestIdHeaders, exposeRoutingHeaders },
      // What a plugin does when it is asked is its own affair.
      policy: policy.type === 'plugin' ? policy.fallback : policy,
      log: { ...log, dir: undefined },
    },
    {
      log: createLog({ ...log, dir: undefined }, { console: NOWHERE }).log,
      config: resolved.config,
      material: resolved.material,
      descriptors: planDescriptors(1024, 1),
    },
  );
}

const NOWHERE: LogSink = { write: () => undefined, close: () => Promise.resolve(), dropped: 0 };
