import type { Check } from '../check.ts';
import { ok, skipped, warn } from '../finding.ts';

/** `Date` has whole seconds, and an answer is under way for a moment. */
const TOLERATED_MS = 5_000;

/** Whether the worker's clock is the router's: times of events and of logs are compared. */
export const clock: Check = {
  name: 'clock',
  about: "The server's clock agrees with this machine's.",
  needs: ['reachable'],
  run({ chart }) {
    const { date } = chart;
    const told = date === undefined ? Number.NaN : Date.parse(date.text);
    if (date === undefined || Number.isNaN(told))
      return Promise.resolve(skipped('its answers carry no Date that can be read'));
    const ahead = told - date.atMs;
    const secs = (Math.abs(ahead) / 1000).toFixed(Math.abs(ahead) < 10_000 ? 1 : 0);
    if (Math.abs(ahead) <= TOLERATED_MS) return Promise.resolve(ok('agrees with this machine'));
    return Promise.resolve(
      warn(
        `its clock is ${secs} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`,
        'Let both take their time from a time server (NTP).',
      ),
    );
  },
};
