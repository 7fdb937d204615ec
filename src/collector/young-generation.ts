import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** The one whose growth was looked at. */
const V8_MAJOR = '13.';
/** Both halves. */
const MOST_BYTES = 16 * 1024 * 1024;

const GROWS = '--semi-space-growth-factor=2';
const STAYS = '--semi-space-growth-factor=1';

/**
 * Stops the growth of the young generation where it is large enough. V8 doubles it up to 96 MiB, which many open streams fill
 * with what dies soon; a limit could be given on the command line only, a factor by which it grows can be set at any time.
 * It is looked at after every collection: V8 makes it smaller again when little is asked, and it must grow back.
 */
export function limitYoungGeneration(): void {
  if (!process.versions.v8.startsWith(V8_MAJOR)) return;
  let growth = GROWS;
  const observer = new PerformanceObserver(() => {
    const wanted = youngBytes() < MOST_BYTES ? GROWS : STAYS;
    if (wanted === growth) return;
    growth = wanted;
    setFlagsFromString(growth);
  });
  observer.observe({ entryTypes: ['gc'] });
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}
