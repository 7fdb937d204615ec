import { seededRandom } from '../../src/base/random.ts';
import { CHAT_BYTES } from './canned-answers.ts';
import { streamBytes, type CannedWorker } from './canned-worker.ts';
import { ClientConnection, type Answer } from './client-connection.ts';
import { cpuMsBetween, cpuTimes, memory } from './process-usage.ts';
import type { Counted, Held, Measured, Order, TargetAddress } from './protocol.ts';
import { requestMix, type BodyKind, type RequestMix } from './requests.ts';
import { Window } from './window.ts';

type OrderOf<K extends Order['kind']> = Extract<Order, { kind: K }>;

const mixes = new Map<BodyKind, RequestMix>();

function mixOf(kind: BodyKind): RequestMix {
  let mix = mixes.get(kind);
  if (!mix) mixes.set(kind, (mix = requestMix(kind)));
  return mix;
}

/** Every connection sends its next request when it has the answer: as fast as the target can. */
export async function runClosed(
  order: OrderOf<'closed'>,
  workers: readonly CannedWorker[],
): Promise<Measured> {
  const window = new Window(order.target, workers);
  const mix = mixOf(order.body);
  const connections = await openConnections(order.target, order.connections);
  let running = true;
  const drive = (connection: ClientConnection): void => {
    const sentAt = performance.now();
    connection.send(mix.next(), order.target.answerBytes ?? CHAT_BYTES, ({ ok, problem }) => {
      if (!running) return;
      if (ok) window.answered(performance.now() - sentAt);
      else window.failed(problem);
      if (connection.usable) drive(connection);
    });
  };
  connections.forEach(drive);
  await pause(order.warmupMs);
  window.open();
  await pause(order.windowMs);
  running = false;
  const result = window.close();
  for (const connection of connections) connection.close();
  return result;
}

/**
 * Requests leave on a schedule, whatever the target does, and latency counts from the scheduled moment: a target that
 * stalls pays for every request it kept waiting, not only for the one it held (no coordinated omission).
 */
export async function runOpen(order: OrderOf<'open'>, workers: readonly CannedWorker[]): Promise<Measured> {
  const window = new Window(order.target, workers);
  const mix = mixOf(order.body);
  const idle = await openConnections(order.target, order.connections ?? 64);
  const nextIdle = (): ClientConnection | undefined =>
    order.connections === undefined ? idle.pop() : idle.shift();
  const all = new Set(idle);
  const waiting: number[] = [];
  let running = true;
  const send = (connection: ClientConnection, dueAt: number): void => {
    connection.send(mix.next(), order.target.answerBytes ?? CHAT_BYTES, ({ ok, problem }) => {
      if (!running) return;
      if (ok) window.answered(performance.now() - dueAt);
      else window.failed(problem);
      const next = waiting.shift();
      if (!connection.usable) all.delete(connection);
      else if (next === undefined) idle.push(connection);
      else send(connection, next);
    });
  };
  const stop = onSchedule(order, (dueAt) => {
    const connection = nextIdle();
    if (connection) send(connection, dueAt);
    else waiting.push(dueAt);
  });
  await pause(order.warmupMs);
  window.open();
  await pause(order.windowMs);
  running = false;
  stop();
  const result = window.close();
  for (const connection of all) connection.close();
  return result;
}

/** Calls at the scheduled moments, to the microsecond while this process is awake: timers are too coarse by far. */
function onSchedule(order: OrderOf<'open'>, due: (at: number) => void): () => void {
  const meanGap = 1000 / order.ratePerSecond;
  const random = seededRandom(11);
  const gap =
    order.arrivals === 'even' ? (): number => meanGap : (): number => -Math.log(1 - random()) * meanGap;
  let next = performance.now() + gap();
  let stopped = false;
  const turn = (): void => {
    if (stopped) return;
    const now = performance.now();
    while (next <= now) {
      due(next);
      next += gap();
    }
    setImmediate(turn);
  };
  turn();
  return () => {
    stopped = true;
  };
}

/** A constant number of open streams, each followed by another one. */
export async function runStreams(
  order: OrderOf<'streams'>,
  workers: readonly CannedWorker[],
): Promise<Measured> {
  for (const worker of workers) worker.pace = order.pace;
  const window = new Window(order.target, workers);
  const mix = mixOf('stream');
  const expected = streamBytes(order.pace);
  const connections = await openConnections(order.target, order.streams);
  const received = (): number => connections.reduce((sum, connection) => sum + connection.received, 0);
  let running = true;
  const drive = (connection: ClientConnection): void => {
    const sentAt = performance.now();
    connection.send(mix.next(), expected, ({ ok, problem }) => {
      if (!running) return;
      if (ok) window.answered(performance.now() - sentAt);
      else window.failed(problem);
      if (connection.usable) drive(connection);
    });
  };
  // Begun one after the other over the length of a stream, so that they do not all end at once.
  const streamMs = order.pace.events * order.pace.stepMs;
  for (const [index, connection] of connections.entries()) {
    setTimeout(
      () => {
        if (running) drive(connection);
      },
      (index / connections.length) * streamMs,
    );
  }
  await pause(streamMs + order.warmupMs);
  window.open(received());
  await pause(order.windowMs);
  running = false;
  const result = window.close(received());
  for (const connection of connections) connection.close();
  return result;
}

/** That nothing more opens for so long means that it never will. */
const STUCK_MS = 10_000;

/** Opens streams until all are open together, lets them run to their end, and counts what became of each. */
export async function runHold(order: OrderOf<'hold'>, workers: readonly CannedWorker[]): Promise<Held> {
  const window = new Window(order.target, workers);
  const mix = mixOf('stream');
  const expected = streamBytes(order.pace);
  const connections: ClientConnection[] = [];
  let [opened, open, ended, completed, openAtOnce, rss] = [0, 0, 0, 0, 0, 0];
  /** Streams of which it is known whether they opened. */
  let settled = 0;
  const start = async (port: number): Promise<void> => {
    let isOpen = false;
    const end = (problem: string | undefined): void => {
      ended += 1;
      if (isOpen) open -= 1;
      else settled += 1;
      if (problem === undefined) completed += 1;
      else window.failed(problem);
    };
    try {
      const connection = await ClientConnection.open(port);
      connections.push(connection);
      const onAnswer = ({ problem }: Answer): void => {
        end(problem);
      };
      connection.send(mix.next(), expected, onAnswer, () => {
        isOpen = true;
        opened += 1;
        open += 1;
        settled += 1;
      });
    } catch (error) {
      end(String(error));
    }
  };
  const look = async (): Promise<void> => {
    openAtOnce = Math.max(openAtOnce, open);
    if (order.target.pid !== undefined) rss = Math.max(rss, memory(order.target.pid).rss);
    await pause(20);
  };
  window.open();
  for (const worker of workers) Object.assign(worker, { pace: order.pace, paused: true });
  const startedAt = performance.now();
  let asked = 0;
  let moved = { at: startedAt, settled };
  while (settled < order.streams && performance.now() - moved.at < STUCK_MS) {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * order.openPerSecond);
    for (; asked < Math.min(order.streams, due); asked += 1) void start(portAt(order.target, asked));
    if (settled !== moved.settled) moved = { at: performance.now(), settled };
    await look();
  }
  for (const worker of workers) worker.paused = false;
  const longest = performance.now() + order.pace.events * order.pace.stepMs * 2 + 30_000;
  while (ended < order.streams && performance.now() < longest) await look();
  const result = window.close(connections.reduce((sum, connection) => sum + connection.received, 0));
  for (const connection of connections) connection.close();
  return { ...result, opened, openAtOnce, completed, rss };
}

/** So many requests as fast as the target can, and what each block of them cost it, from its very first request on. */
export async function runCounted(order: OrderOf<'counted'>): Promise<Counted> {
  const { pid } = order.target;
  const now = (): ReturnType<typeof cpuTimes> => (pid === undefined ? new Map() : cpuTimes(pid));
  const mix = mixOf(order.body);
  const connections = await openConnections(order.target, order.connections);
  const total = order.blocks * order.perBlock;
  const blocks: number[] = [];
  let [sent, answered, errors, usable] = [0, 0, 0, connections.length];
  let firstProblem: string | undefined;
  let mark = now();
  await new Promise<void>((resolve) => {
    const drive = (connection: ClientConnection): void => {
      if (sent === total) return;
      sent += 1;
      connection.send(mix.next(), order.target.answerBytes ?? CHAT_BYTES, ({ ok, problem }) => {
        answered += 1;
        if (!ok) {
          errors += 1;
          firstProblem ??= problem;
        }
        if (answered % order.perBlock === 0) {
          const reached = now();
          blocks.push(cpuMsBetween(mark, reached));
          mark = reached;
        }
        if (!connection.usable) usable -= 1;
        if (answered === total || usable === 0) resolve();
        else if (connection.usable) drive(connection);
      });
    };
    connections.forEach(drive);
  });
  for (const connection of connections) connection.close();
  return { cpuMs: blocks, errors, problem: firstProblem };
}

function openConnections(target: TargetAddress, count: number): Promise<ClientConnection[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) => ClientConnection.open(portAt(target, index))),
  );
}

function portAt({ ports }: TargetAddress, index: number): number {
  return ports[index % ports.length] ?? 0;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
