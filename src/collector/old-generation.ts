import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** The one whose limits were looked at. */
const V8_MAJOR = '13.';
/** As much as V8 lets Buffers alone grow by. */
const ROOM_BYTES = 64 * 1024 * 1024;
const STEP_PERCENT = 5;
/** From here on V8 does as it sees fit: with 320 MiB that live. */
const LEAST_PERCENT = 20;

/**
 * Lets 64 MiB come to what lives before everything is looked through again. V8 alone allows a third of what lives, 10 to 16
 * MiB here, and counts with it all Buffers that have come since, dead or alive: after thirty prompts of 220 kB it looked
 * through everything, for 130 ms of CPU. With more room the next collection of the young generation comes first, and takes
 * those Buffers along. V8 still goes no further than half of what is left of the heap.
 */
export function giveOldGenerationRoom(): void {
  if (!process.versions.v8.startsWith(V8_MAJOR)) return;
  let percent = 0;
  const adapt = (): void => {
    const wanted = growthPercent(oldBytes());
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  adapt();
  const observer = new PerformanceObserver((list) => {
    if (list.getEntries().some(isOfEverything)) adapt();
  });
  observer.observe({ entryTypes: ['gc'] });
}

/** By how much what lives may grow, in percent of it; 0: as V8 sees fit. */
export function growthPercent(liveBytes: number): number {
  const percent = STEP_PERCENT * Math.round((100 * ROOM_BYTES) / liveBytes / STEP_PERCENT);
  return percent < LEAST_PERCENT ? 0 : percent;
}

function oldBytes(): number {
  let bytes = 0;
  for (const { space_name, space_used_size } of getHeapSpaceStatistics())
    if (!space_name.startsWith('new_')) bytes += space_used_size;
  return bytes;
}

/** Not that of the young generation alone. */
function isOfEverything(entry: PerformanceEntry): boolean {
  // What Node says of a collection, of which its types know nothing.
  const { detail } = entry as PerformanceEntry & { readonly detail: { readonly kind: number } };
  return detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
}
