import { setFlagsFromString } from 'node:v8';

/** The one whose defaults these are. */
const V8_MAJOR = '13.';
/** As many calls as the warm-up has for most functions. With less patience elsewhere the compilers take 10 to 30 MiB that stay. */
const SOON = '--invocation-count-for-maglev=60';
const DEFAULT = '--invocation-count-for-maglev=400';

/**
 * Has V8 optimise functions after fewer calls, until what is returned is called: some 250 chats are all that the warm-up can
 * afford, and usually nothing is optimised before 400 calls.
 */
export function compileSooner(): () => void {
  if (!process.versions.v8.startsWith(V8_MAJOR)) return () => undefined;
  setFlagsFromString(SOON);
  return () => {
    setFlagsFromString(DEFAULT);
  };
}
