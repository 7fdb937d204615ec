import { find, type BenchRun } from '../bench-run.ts';
import { memory } from '../load/process-usage.ts';
import type { Measured, TargetAddress } from '../load/protocol.ts';
import { barBesidePeers } from '../peers/bar.ts';
import { mebibytes, number, times, type Bar, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, progress, ratioOf, type Rounds } from '../rounds.ts';
import {
  ALL_TARGETS,
  BARE,
  DIRECT,
  MAIN_TARGETS,
  ROUTER,
  ROUTER_NO_LOG,
  ROUTER_PAIR,
  type Target,
} from '../targets.ts';

const CONNECTIONS = 32;
/** Requests until the compiler of a Node target has come to rest, and until others have their connections. */
const WARM_UP = 25_000;
const WARM_UP_OF_OTHERS = 2_000;
/** With less of its core in use, the target was not the limit: the load was. */
const BUSY = 0.85;

/** Small chats as fast as each target takes them: CPU time per request, requests per second. */
export async function requestPart(run: BenchRun): Promise<PartReport> {
  const targets = await run.targets(run.options.quick ? MAIN_TARGETS : [...ALL_TARGETS, ROUTER_PAIR]);
  await warmUp(run, targets);
  const all = await inRounds('request', targets, run.options.rounds, (target) =>
    measure(run, target, 250, 1_250),
  );
  const questions = (rounds: Rounds): number =>
    medianOf(rounds, ({ questions, requests }) => questions / requests);
  const curious = all.filter((rounds) => questions(rounds) >= 0.5);
  const bare = find(all, BARE);
  const router = find(all, ROUTER);
  if (router) run.routerMaximum = medianOf(router, perSecond);
  const peaks = new Map(targets.map(({ name, pid }) => [name, pid === undefined ? 0 : memory(pid).peak]));
  return {
    table: {
      title: `Chat completions, 2 KiB body, not streamed, 4 workers, ${CONNECTIONS} connections`,
      columns: [
        'target',
        'CPU us/request',
        'x bare',
        'requests/s',
        'p50 ms',
        'p99 ms',
        'peak RSS MiB',
        'errors',
      ],
      rows: all.map((rounds) => [
        rounds.target,
        rounds.target === 'direct' ? '-' : number(medianOf(rounds, cpuPerRequest)),
        bare && rounds.target !== 'direct' ? times(ratioOf(rounds, bare, cpuPerRequest)) : '-',
        number(medianOf(rounds, perSecond)) + (medianOf(rounds, busy) < BUSY ? '*' : ''),
        number(medianOf(rounds, ({ latency }) => latency?.p50 ?? NaN)),
        number(medianOf(rounds, ({ latency }) => latency?.p99 ?? NaN)),
        mebibytes(peaks.get(rounds.target) ?? 0),
        String(errorsOf(rounds)),
      ]),
      notes: [
        '* not the most it can do: it did not use its core up (the load has one core for clients and workers)',
        ...curious.map(
          (rounds) => `${rounds.target} asks its workers ${number(questions(rounds))} times more per request`,
        ),
      ],
    },
    bars: bars(all, bare),
    rounds: all,
    data: { rounds: all, peakRss: Object.fromEntries(peaks) },
  };
}

/** Requests per second that this router takes alone, measured briefly where the part above was not run. */
export async function routerMaximum(run: BenchRun, router: Target): Promise<number> {
  if (run.routerMaximum === undefined) {
    progress('measuring the maximum of the router');
    await warmUp(run, [router]);
    run.routerMaximum = perSecond(await measure(run, router, 250, 1_250));
  }
  return run.routerMaximum;
}

const warm = new WeakSet<Target>();

/**
 * Once for each, and in full in a quick run too: a Node process that is still being compiled costs several times as
 * much.
 */
export async function warmUp(run: BenchRun, targets: readonly Target[], load = run.load): Promise<void> {
  for (const target of targets) {
    if (target.name === DIRECT || warm.has(target)) continue;
    progress(`warming up ${target.name}`);
    const ofNode = target.name === BARE || target.name.startsWith(ROUTER);
    await load.count({
      kind: 'counted',
      target: addressOf(target),
      body: 'small',
      connections: CONNECTIONS,
      blocks: 1,
      perBlock: ofNode ? WARM_UP : WARM_UP_OF_OTHERS,
    });
    warm.add(target);
  }
}

function bars(all: readonly Rounds[], bare: Rounds | undefined): Bar[] {
  const [pair, router] = [find(all, ROUTER_PAIR), find(all, ROUTER)];
  const bar = (name: string, target: string, limit: number): Bar => {
    const rounds = find(all, target);
    return {
      name,
      limit,
      unit: 'x bare proxy',
      measured: rounds && bare ? ratioOf(rounds, bare, cpuPerRequest) : undefined,
    };
  };
  return [
    bar('CPU per request, 2 KiB, all defaults on', ROUTER, 1.15),
    barBesidePeers(
      ...(['CPU per request, 2 KiB, all defaults on', 0.6, all, find(all, ROUTER)] as const),
      (rounds) => medianOf(rounds, cpuPerRequest),
      (router, peer) => ratioOf(router, peer, cpuPerRequest),
    ),
    bar('CPU per request, 2 KiB, access log off', ROUTER_NO_LOG, 0.95),
    {
      name: 'CPU per request through a pair',
      limit: 1.7,
      unit: 'x one worker',
      measured: pair && router ? ratioOf(pair, router, cpuPerRequest) : undefined,
    },
  ];
}

function measure(run: BenchRun, target: Target, warmupMs: number, windowMs: number): Promise<Measured> {
  return run.load.measure({
    kind: 'closed',
    target: addressOf(target),
    body: 'small',
    connections: CONNECTIONS,
    warmupMs: run.ms(warmupMs),
    windowMs: run.ms(windowMs),
  });
}

export function addressOf({ ports, pid, answerBytes }: Target): TargetAddress {
  return { ports, pid, answerBytes };
}

/** Microseconds. */
export function cpuPerRequest({ cpuMs, requests }: Measured): number {
  return (1000 * cpuMs) / requests;
}

/** Share of a core. */
export function busy({ cpuMs, windowMs }: Measured): number {
  return cpuMs / windowMs;
}

function perSecond({ requests, windowMs }: Measured): number {
  return (1000 * requests) / windowMs;
}
