// Progress for people: a ticking line on a terminal, plain lines elsewhere (CI logs, pipes).

const TICK_MS = 200;
const STILL_WORKING_MS = 15_000;

/**
 * Shows `label` while `work` runs, then how long it took. Writes to stderr, so that a script's own output stays clean.
 * @template T
 * @param {string} label
 * @param {() => Promise<T>} work
 * @returns {Promise<T>} what `work` returns; its error passes through
 */
export async function withProgress(label, work) {
  const out = process.stderr;
  const startedAt = Date.now();
  const seconds = (digits = 0) => `${((Date.now() - startedAt) / 1000).toFixed(digits)} s`;
  const draw = () =>
    out.write(out.isTTY ? `\r  ${label} ... ${seconds()}` : `  ${label} ... (${seconds()})\n`);
  out.write(out.isTTY ? `  ${label} ...` : `  ${label} ...\n`);
  const timer = setInterval(draw, out.isTTY ? TICK_MS : STILL_WORKING_MS);
  try {
    const result = await work();
    out.write(`${out.isTTY ? '\r' : ''}  ${label}: done in ${seconds(1)}\n`);
    return result;
  } catch (error) {
    out.write(`${out.isTTY ? '\r' : ''}  ${label}: failed after ${seconds(1)}\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
