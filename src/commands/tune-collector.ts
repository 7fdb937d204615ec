import { setFlagsFromString } from 'node:v8';

/** The one that has the flag, and where what it does was measured. */
const V8_MAJOR = '13.';

/**
 * Without it V8 looks through the whole heap each time that 64 MiB of Buffers have come, however many of them are gone: with
 * bodies of 220 kB every hundred requests, at half the cost of a request. With it the few young objects are looked through
 * instead, among which these Buffers are, and the whole heap when all of it together has grown.
 */
export function tuneCollector(): void {
  if (process.versions.v8.startsWith(V8_MAJOR))
    setFlagsFromString('--external-memory-accounted-in-global-limit');
}
