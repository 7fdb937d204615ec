import { readdirSync, readFileSync } from 'node:fs';
import type { SoakedRouter } from './soaked-router.ts';

/** What the router holds at a moment. */
export interface Gauges {
  /** Requests that have been let in. */
  readonly inFlight: number;
  readonly queued: number;
  readonly bodyBytes: number;
  /** Requests on workers. */
  readonly leases: number;
  readonly tenantPlaces: number;
  /** File descriptors of the process. */
  readonly descriptors: number;
  readonly rssMib: number;
  readonly heapMib: number;
}

/** What must be back at zero when nobody asks for anything. */
export const HELD = ['inFlight', 'queued', 'bodyBytes', 'leases', 'tenantPlaces'] as const;

interface Stats {
  readonly requests: {
    readonly in_flight: number;
    readonly queued: number;
    readonly body_bytes: number;
  };
  readonly tenants: { readonly entries: readonly { readonly in_flight: number }[] };
}

interface Workers {
  readonly workers: readonly { readonly in_flight: number }[];
}

export async function readGauges(router: SoakedRouter): Promise<Gauges> {
  // The shapes are the admin API's own.
  const stats = (await router.admin('GET', '/admin/stats')).json as Stats;
  const { workers } = (await router.admin('GET', '/workers')).json as Workers;
  const metrics = await router.metrics();
  const sum = (list: readonly { readonly in_flight: number }[]): number =>
    list.reduce((total, one) => total + one.in_flight, 0);
  return {
    inFlight: stats.requests.in_flight,
    queued: stats.requests.queued,
    bodyBytes: stats.requests.body_bytes,
    leases: sum(workers),
    tenantPlaces: sum(stats.tenants.entries),
    descriptors: readdirSync(`/proc/${router.pid}/fd`).length,
    rssMib: residentMib(router.pid),
    heapMib: (seriesTotal(metrics, 'process_heap_bytes') ?? 0) / 2 ** 20,
  };
}

function residentMib(pid: number): number {
  const [, kib = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

/** Sum over the lines of a series whose labels have that in them; undefined where there is none. */
export function seriesTotal(metrics: string, series: string, label = ''): number | undefined {
  const values = metrics
    .split('\n')
    .filter(
      (line) => line.startsWith(series) && /^[{ ]/.test(line.slice(series.length)) && line.includes(label),
    )
    .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)));
  return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
}
