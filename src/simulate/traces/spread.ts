import { seededRandom } from '../../base/random.ts';
import type { Trace } from './trace.ts';

/**
 * The trace with each arrival moved within the trace's own resolution. Published traces are rounded (Mooncake's to about
 * 3 s), which makes a burst out of every step; where within its step a request came is not known, and drawn by the seed.
 */
export function spreadArrivals(trace: Trace, seed: number): Trace {
  const stepMs = resolutionMs(trace);
  if (stepMs === 0) return trace;
  const random = seededRandom(seed);
  const requests = trace.requests
    .map((request) => ({ ...request, at: request.at + random() * stepMs }))
    .sort((left, right) => left.at - right.at);
  return { ...trace, requests };
}

/** The usual distance of two arrival times, where most requests share theirs with others; else 0. */
export function resolutionMs({ requests }: Trace): number {
  const gaps: number[] = [];
  let alone = 0;
  for (const [place, { at }] of requests.entries()) {
    const before = requests[place - 1]?.at;
    if (before !== undefined && at > before) gaps.push(at - before);
    if (before !== at && requests[place + 1]?.at !== at) alone += 1;
  }
  if (2 * alone > requests.length || gaps.length === 0) return 0;
  return gaps.sort((left, right) => left - right)[gaps.length >> 1] ?? 0;
}
