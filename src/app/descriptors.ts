import { readFileSync } from 'node:fs';
import { DEFAULT_MAX_CONCURRENT } from '../config/schema/schema.ts';
import type { AdmissionSettings } from '../config/settings/settings.ts';
import type { Log } from '../observe/log.ts';

/** How the descriptors that the process may have are dealt out. All Infinity where their number is not known. */
export interface DescriptorPlan {
  readonly openFiles: number;
  /** Sockets of clients, and as many to workers: a request takes one of each. */
  readonly perSide: number;
  /** Those to workers, and a few more: probes and polls share them while there are any. */
  readonly outbound: number;
  /** Connections of clients beyond that, which get what needs no worker. */
  readonly standing: number;
  /** Scrapes of metrics at once. */
  readonly scrapes: number;
}

const LEAST_RESERVE = 64;
const RESERVED_SHARE = 0.05;
const MOST_SCRAPES = 64;

/** What there is for this process; it has a listener, and one more for metrics. */
export function descriptorsFor(withMetrics: boolean): DescriptorPlan {
  return planDescriptors(openFilesLimit(), withMetrics ? 2 : 1);
}

/** Half for clients, half for workers, of what is left after listeners and the reserve: probes, metrics, admin, files, Node itself. */
export function planDescriptors(openFiles: number, listeners: number): DescriptorPlan {
  const reserve = Math.max(LEAST_RESERVE, Math.ceil(openFiles * RESERVED_SHARE));
  if (!Number.isFinite(openFiles))
    return { openFiles, perSide: Infinity, outbound: Infinity, standing: Infinity, scrapes: MOST_SCRAPES };
  const perSide = Math.max(1, Math.floor((openFiles - reserve - listeners) / 2));
  return {
    openFiles,
    perSide,
    outbound: perSide + Math.floor(reserve / 8),
    standing: Math.floor(reserve / 4),
    scrapes: Math.min(MOST_SCRAPES, Math.floor(reserve / 8)),
  };
}

/** The soft limit on open files, which Node has raised to the hard one by now; Infinity where there is none, or none is known. */
export function openFilesLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return limitInReport();
  }
}

/** Systems without /proc. */
function limitInReport(): number {
  // Else it would look up the names of all addresses.
  const report = Object.assign(process.report, { excludeNetwork: true });
  // The type says `object`; what is in it depends on the system.
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  const soft = userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Infinity;
}

/** No more requests at once than there are descriptors for; says so where that is fewer than were configured. */
export function withinDescriptors(
  settings: AdmissionSettings,
  { perSide, openFiles }: DescriptorPlan,
  log: Log,
): AdmissionSettings {
  if (settings.maxConcurrent <= perSide) return settings;
  // Nobody asked for the default.
  const asked = settings.maxConcurrent !== DEFAULT_MAX_CONCURRENT;
  log[asked ? 'warn' : 'info'](
    {
      ...{ max_concurrent_requests: perSide, open_files: openFiles },
      ...(asked ? { configured: settings.maxConcurrent } : {}),
    },
    'max_concurrent_requests is lowered to what the limit of open files (ulimit -n) has room for: two for each request',
  );
  return { ...settings, maxConcurrent: perSide };
}
