import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of a process over all its threads since its start, ms. Linux only. */
export function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    // In ns, where `stat` counts in ticks of 10 ms. First field: time on a CPU.
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return nanoseconds / 1e6;
}

/** Memory of a process, bytes: now, and the most it ever had. */
export function memory(pid: number): { readonly rss: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return { rss: kib(status, 'VmRSS'), peak: kib(status, 'VmHWM') };
}

function kib(status: string, field: string): number {
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024;
}
