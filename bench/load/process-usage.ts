import { readdirSync, readFileSync } from 'node:fs';

/** CPU time by thread, ms, of a process and all that it has started. */
export type CpuTimes = ReadonlyMap<string, number>;

/** Over all threads, those of children included. Linux only. */
export function cpuTimes(pid: number): CpuTimes {
  const times = new Map<string, number>();
  for (const process of familyOf(pid)) {
    for (const thread of threadsOf(process)) {
      // In ns, where `stat` counts in ticks of 10 ms. First field: time on a CPU.
      const schedstat = read(`/proc/${process}/task/${thread}/schedstat`);
      if (schedstat !== undefined) times.set(thread, Number(schedstat.split(' ')[0]) / 1e6);
    }
  }
  return times;
}

/** A thread that ended meanwhile takes what it used with it; one that is new counts in full. */
export function cpuMsBetween(before: CpuTimes, after: CpuTimes): number {
  let sum = 0;
  for (const [thread, ms] of after) sum += ms - (before.get(thread) ?? 0);
  return sum;
}

/** Memory of a process and its children, bytes: now, and the most that each ever had. */
export function memory(pid: number): { readonly rss: number; readonly peak: number } {
  let rss = 0;
  let peak = 0;
  for (const process of familyOf(pid)) {
    const status = read(`/proc/${process}/status`) ?? '';
    rss += kib(status, 'VmRSS');
    peak += kib(status, 'VmHWM');
  }
  return { rss, peak };
}

function familyOf(pid: number | string): string[] {
  const children = threadsOf(pid).flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter((child) => child !== ''),
  );
  return [String(pid), ...children.flatMap(familyOf)];
}

function threadsOf(pid: number | string): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** What has ended meanwhile has no files any more. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

function kib(status: string, field: string): number {
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024;
}
