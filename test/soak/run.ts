/** `npm run soak`: everything at once, for a while, and then nothing may be left. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom, type Random } from '../../src/base/random.ts';
import { startSimWorker } from '../../src/sim/server/server.ts';
import type { SoakClient } from './client.ts';
import { CLIENTS } from './clients/index.ts';
import { HELD, readGauges, seriesTotal, type Gauges } from './gauges.ts';
import { Operator } from './operator.ts';
import { readOptions, USAGE, type SoakOptions } from './options.ts';
import { SoakedRouter } from './soaked-router.ts';
import { Tally } from './tally.ts';

const WORKERS = 4;
const TIME_SCALE = 0.05;
const REPORT_EVERY_MS = 5_000;
/** No exchange takes longer, however busy the machine. */
const LONGEST_EXCHANGE_MS = 60_000;
const MOST_PAUSE_MS = 40;
/** Kept-alive connections to workers end after 4 s; the rest is for a busy machine. */
const SETTLE_MS = 30_000;
/** Shorter runs say nothing about growth: the heap and the index are still filling. */
const GROWTH_AFTER_SECONDS = 600;
const MOST_GROWTH = 1.1;

async function main(argv: readonly string[]): Promise<number> {
  let options: SoakOptions | 'help';
  try {
    options = readOptions(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (process.platform !== 'linux') {
    process.stderr.write('the soak reads descriptors and memory from /proc: it runs on Linux only\n');
    return 1;
  }
  const dir = mkdtempSync(join(tmpdir(), 'vllm-router-soak-'));
  const workers = await Promise.all(
    Array.from({ length: WORKERS }, (_, seed) =>
      startSimWorker({ seed, timeScale: TIME_SCALE, keepRequests: 0 }),
    ),
  );
  try {
    return await soak(
      options,
      dir,
      workers.map(({ url }) => url),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    rmSync(dir, { recursive: true, force: true });
  }
}

async function soak(options: SoakOptions, dir: string, workerUrls: readonly string[]): Promise<number> {
  const router = await SoakedRouter.start(dir, workerUrls, options.threads);
  const tally = new Tally();
  const stopping = new AbortController();
  const interrupt = (): void => stopping.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await warmUp(router);
    const idle = await readGauges(router);
    say(`router ${router.pid} on port ${router.port}, ${options.seconds} s, ${options.clients} clients`);
    say(gaugeLine('idle', idle));
    const operator = new Operator(router, tally, workerUrls[0] ?? '');
    const samples = await underLoad(options, router, tally, operator, stopping);
    await settle(router, idle, tally);
    checkGrowth(samples, options, tally);
    await checkMetrics(router, tally);
    const { threads, exchanges } = tally.deaths;
    const deaths =
      options.threads > 1 ? `, ${threads} threads died and ${exchanges} exchanges with them` : '';
    const summary = `${tally.exchanges} exchanges, ${operator.turns} reloads${deaths}`;
    say(['', summary, ...tally.lines(CLIENTS)].join('\n'));
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    const { status, tookMs } = await router.stop();
    if (status !== 0) tally.find(`ended with ${status} on SIGTERM`);
    say(`SIGTERM: ended with ${status} after ${Math.round(tookMs)} ms`);
  }
  return verdict(tally);
}

/** Samples of the gauges over the run. */
async function underLoad(
  { seconds, clients, seed }: SoakOptions,
  router: SoakedRouter,
  tally: Tally,
  operator: Operator,
  stopping: AbortController,
): Promise<Gauges[]> {
  const { signal } = stopping;
  const startedAt = performance.now();
  const random = seededRandom(seed);
  const atWork = [operator.work(signal)];
  for (let index = 0; index < clients; index += 1) atWork.push(keepAsking(router, tally, random, signal));
  const samples: Gauges[] = [];
  while (!signal.aborted && router.alive) {
    const leftMs = 1000 * seconds - (performance.now() - startedAt);
    await pause(Math.max(0, Math.min(REPORT_EVERY_MS, leftMs)), undefined, { signal }).catch(() => undefined);
    samples.push(await readGauges(router));
    say(gaugeLine(`${Math.round((performance.now() - startedAt) / 1000)} s`, samples.at(-1), tally));
    if (leftMs <= REPORT_EVERY_MS) break;
  }
  stopping.abort();
  await Promise.all(atWork);
  if (!router.alive) tally.find('the router ended under load');
  return samples;
}

const SHARES = CLIENTS.reduce((total, { share }) => total + share, 0);

function nextClient(random: Random): SoakClient {
  let at = random() * SHARES;
  for (const client of CLIENTS) {
    at -= client.share;
    if (at < 0) return client;
  }
  throw new RangeError('there are no clients');
}

async function keepAsking(
  router: SoakedRouter,
  tally: Tally,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && router.alive) {
    const client = nextClient(random);
    const startedAt = performance.now();
    tally.count(client, await exchangeOf(client, { port: router.port, random }), startedAt);
    await pause(random() * MOST_PAUSE_MS);
  }
}

/** Every end is a word, those that are none of the client's as well. */
async function exchangeOf(client: SoakClient, place: Parameters<SoakClient['exchange']>[0]): Promise<string> {
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(late.resolve, LONGEST_EXCHANGE_MS, 'never');
  try {
    return await Promise.race([client.exchange(place), late.promise]);
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 200) : String(error);
  } finally {
    clearTimeout(timer);
  }
}

/** One of each sort of file and connection is open from now on: the logs, the modules that are loaded late. */
async function warmUp(router: SoakedRouter): Promise<void> {
  const place = { port: router.port, random: seededRandom(0) };
  for (let round = 0; round < 3; round += 1)
    for (const client of CLIENTS.slice(0, 4)) await exchangeOf(client, place);
  await router.reload(0);
  await descriptorsAtRest(router);
}

/** Waits until kept-alive connections have ended: two looks in a row that show the same, a second apart. */
async function descriptorsAtRest(router: SoakedRouter): Promise<Gauges> {
  const deadline = Date.now() + SETTLE_MS;
  let before = await readGauges(router);
  for (let same = 0; same < 5 && Date.now() < deadline;) {
    await pause(1000);
    const now = await readGauges(router);
    same = now.descriptors === before.descriptors ? same + 1 : 0;
    before = now;
  }
  return before;
}

/** With nobody asking, everything is given back. */
async function settle(router: SoakedRouter, idle: Gauges, tally: Tally): Promise<void> {
  if (!router.alive) return;
  const deadline = Date.now() + SETTLE_MS;
  let now = await readGauges(router);
  const isBack = (): boolean => HELD.every((name) => now[name] === 0) && now.descriptors <= idle.descriptors;
  while (!isBack() && Date.now() < deadline) {
    await pause(500);
    now = await readGauges(router);
  }
  say(gaugeLine('afterwards', now));
  for (const name of HELD) if (now[name] !== 0) tally.find(`${name}: ${now[name]} left`);
  if (now.descriptors > idle.descriptors)
    tally.find(`descriptors: ${now.descriptors}, ${idle.descriptors} when idle at the start`);
}

/** Memory of the last third against that of the third before. */
function checkGrowth(samples: readonly Gauges[], { seconds }: SoakOptions, tally: Tally): void {
  const third = Math.floor(samples.length / 3);
  if (third === 0) return;
  const mean = (list: readonly Gauges[]): number =>
    list.reduce((total, { rssMib }) => total + rssMib, 0) / list.length;
  const before = mean(samples.slice(third, 2 * third));
  const last = mean(samples.slice(-third));
  say(`memory: mean of the second third ${before.toFixed(0)} MiB, of the last ${last.toFixed(0)} MiB`);
  if (seconds >= GROWTH_AFTER_SECONDS && last > MOST_GROWTH * before)
    tally.find(`memory grew from ${before.toFixed(0)} to ${last.toFixed(0)} MiB`);
}

/** Faults of the router's own that no client was told about. */
async function checkMetrics(router: SoakedRouter, tally: Tally): Promise<void> {
  if (!router.alive) return;
  const metrics = await router.metrics();
  const faults = seriesTotal(metrics, 'vllm_router_request_errors_total', 'error_type="internal"') ?? 0;
  if (faults > 0) tally.find(`${faults} requests met a fault of the router (internal)`);
  const healthy = seriesTotal(metrics, 'vllm_router_worker_health') ?? 0;
  if (healthy !== WORKERS) tally.find(`${healthy} of ${WORKERS} workers are healthy`);
}

function verdict(tally: Tally): number {
  if (tally.unexpected === 0) {
    say('soak: nothing left behind, nothing unexpected');
    return 0;
  }
  say([`soak: ${tally.unexpected} findings`, ...tally.findings.map((text) => `  ${text}`)].join('\n'));
  return 1;
}

function gaugeLine(when: string, gauges: Gauges | undefined, tally?: Tally): string {
  if (gauges === undefined) return when;
  const { inFlight, queued, bodyBytes, leases, tenantPlaces, descriptors, rssMib, heapMib } = gauges;
  const asked = tally ? `  exchanges ${tally.exchanges}  unexpected ${tally.unexpected}` : '';
  return (
    `${when.padStart(10)}${asked}  in flight ${inFlight}  queued ${queued}  leases ${leases}  places ${tenantPlaces}  ` +
    `bytes ${bodyBytes}  descriptors ${descriptors}  RSS ${rssMib.toFixed(0)} MiB  heap ${heapMib.toFixed(0)} MiB`
  );
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

process.exitCode = await main(process.argv.slice(2));
