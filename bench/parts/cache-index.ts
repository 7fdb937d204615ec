import type { BenchRun } from '../bench-run.ts';
import { endToEnd, indexAlone, lookUps } from '../cache-index/measure.ts';
import { storm } from '../cache-index/storm.ts';
import { ENGINES, openIndex, readRequests } from '../cache-index/workload.ts';
import type { Latency } from '../load/protocol.ts';
import { number, type Bar, type PartReport } from '../report.ts';
import { progress } from '../rounds.ts';

const MAX_BYTES = 400_000_000;
const MEMBERSHIPS = 10_000_000;
const ALONE_PER_SECOND = 5_000_000;
const END_TO_END_PER_SECOND = 500_000;
const LOOK_UP_US = 50;
const DELAY_MS = 5;
/** Blocks stored and removed per second, in the storm. */
const STORM_PER_SECOND = 150_000;
const ROUNDS = 6;

/**
 * What it takes to know caches by events: of the processor where it is one thread's work, so that what else the machine does counts
 * little, and of time where somebody waits.
 */
export async function cacheIndexPart(run: BenchRun): Promise<PartReport> {
  const { quick, trace } = run.options;
  const all = await readRequests(trace);
  const requests = quick ? all.slice(0, 2000) : all;
  progress('cache-index: the index alone');
  const made = openIndex(MAX_BYTES);
  const alone = indexAlone(requests, made);
  progress('cache-index: look-ups');
  const look = lookUps(made, quick ? 2 : ROUNDS);
  const { capacity } = made.index;
  progress('cache-index: from bytes of messages');
  const whole = endToEnd(requests.slice(0, 3000), MAX_BYTES);
  progress('cache-index: a storm of events');
  const delays = await storm({ operationsPerSecond: STORM_PER_SECOND, trace }, run.ms(10_000));
  const at = (share: keyof Latency): string => (look === undefined ? '-' : number(look[share]));
  return {
    table: {
      title: `Exact index, ${ENGINES} engines, ${trace === undefined ? 'conversations that are made up' : 'the trace of --trace'}`,
      columns: ['what', 'measured'],
      rows: [
        [
          'index alone, million blocks stored and removed per second of CPU',
          number(alone.perCpuSecond / 1e6),
        ],
        ['the same from the bytes of messages', number(whole.perCpuSecond / 1e6)],
        [
          `look at ${ENGINES} engines for a prompt of 1,000 blocks, p50 / p90 / p99 us`,
          `${at('p50')} / ${at('p90')} / ${at('p99')}`,
        ],
        ['blocks that 400 MB have room for, millions', number(capacity / 1e6)],
        ['bytes for each block of an engine', number(MAX_BYTES / capacity)],
        ['storm: thousand blocks stored and removed per second', number(delays.operationsPerSecond / 1e3)],
        [
          'event loop of the request thread in it, p99 / max ms late',
          `${number(delays.stormP99Ms)} / ${number(delays.stormMaxMs)}`,
        ],
        ['and without it, p99 ms late', number(delays.idleP99Ms)],
      ],
    },
    bars: [
      atLeast('index alone, CPU', alone.perCpuSecond, ALONE_PER_SECOND),
      atLeast('index from bytes, CPU', whole.perCpuSecond, END_TO_END_PER_SECOND),
      { name: 'look-up, p99', measured: look?.p99, limit: LOOK_UP_US, unit: 'us' },
      {
        name: '10 million blocks',
        measured: (MEMBERSHIPS / capacity) * (MAX_BYTES / 1e6),
        limit: 400,
        unit: 'MB',
      },
      { name: 'event loop in a storm, p99', measured: delays.stormP99Ms, limit: DELAY_MS, unit: 'ms' },
    ],
    data: { alone, whole, look, capacity, delays },
  };
}

/** A bar for how much is done, said as what one of it takes. */
function atLeast(name: string, perSecond: number, least: number): Bar {
  return { name, measured: 1e9 / perSecond, limit: 1e9 / least, unit: 'ns a block' };
}
