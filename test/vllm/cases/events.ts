import { setTimeout as pause } from 'node:timers/promises';
import type { Decision } from '../../../src/request/record/decision.ts';
import { startFleet, type Fleet } from '../../support/fleet.ts';
import type { Figure, VllmCase } from '../case.ts';
import { runChats } from '../chats.ts';
import type { VllmServer } from '../vllm-server.ts';

const LOAD = { conversations: 40, turns: 6, atOnce: 3, maxTokens: 16, seed: 11 };
/** Of the two caches together some three quarters: what is evicted is told by events as well, but may go in between. */
const LEAST_EQUAL = 99;
/** What was sent just now counts as held before its events say so. */
const LEAST_KNOWN = 95;
/** A thread is started, and asks for all that was published before. */
const MOST_LIVE_MS = 60_000;

/** What events say is held, against what the engines then find. */
export const eventsCase: VllmCase = {
  name: 'events',
  about: 'chats of several turns over two servers: what events say is held, against cached_tokens',
  async run(lab, say) {
    const servers = await lab.fleet(2);
    await using fleet = await startEventFleet(servers);
    const liveAfterMs = await untilHeard(fleet);
    const records: Decision[] = [];
    await runChats(fleet.url, LOAD, async (id) => {
      const record = await fleet.decision(({ request_id: of }) => of === id);
      records.push(record);
      if (records.length % 24 === 0) say(`${String(records.length)} requests`);
    });
    return [
      { what: 'engines heard after', value: liveAfterMs / 1000, unit: 's', most: MOST_LIVE_MS / 1000 },
      ...figuresOf(records),
    ];
  },
};

/** Sends a question of nobody now and then, until both workers are known from their events; how long that took. */
async function untilHeard(fleet: Fleet): Promise<number> {
  const begun = Date.now();
  for (let seed = 1; Date.now() - begun < MOST_LIVE_MS; seed += 1) {
    let candidates: Decision['candidates'];
    const one = { conversations: 1, turns: 1, atOnce: 1, maxTokens: 1, seed: Date.now() + seed };
    await runChats(fleet.url, one, async (id) => {
      ({ candidates } = await fleet.decision(({ request_id: of }) => of === id));
    });
    if (candidates?.every(({ matched_source: source }) => source === 'events') === true) break;
    await pause(200);
  }
  return Date.now() - begun;
}

/** A router that hears these servers, in the words of its configuration. */
export function startEventFleet(servers: readonly VllmServer[]): Promise<Fleet> {
  return startFleet({
    workers: [],
    router: {
      policy: { type: 'kv_aware', blockSize: 32 },
      tokenizeTimeoutMs: 10_000,
      workers: servers.map(({ url, eventsPort, replayPort }) => ({
        url,
        kvEvents: { port: eventsPort, replayPort },
      })),
    },
  });
}

function figuresOf(records: readonly Decision[]): Figure[] {
  const compared = records.filter(
    ({ predicted_cached_tokens: predicted, actual_cached_tokens: actual }) =>
      predicted !== undefined && actual !== undefined,
  );
  const errorOf = ({
    predicted_cached_tokens: predicted = 0,
    actual_cached_tokens: actual = 0,
  }: Decision): number => Math.abs(predicted - actual);
  const equal = compared.filter((record) => errorOf(record) === 0).length;
  const byEvents = compared.filter(({ cache_source: source }) => source === 'events').length;
  const error = compared.reduce((sum, record) => sum + errorOf(record), 0);
  const prompt = compared.reduce((sum, { prompt_tokens: tokens = 0 }) => sum + tokens, 0);
  const cached = compared.reduce((sum, { actual_cached_tokens: tokens = 0 }) => sum + tokens, 0);
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : (100 * part) / whole);
  return [
    {
      what: 'requests compared',
      value: compared.length,
      unit: `of ${String(records.length)}`,
      least: records.length,
    },
    { what: 'known from events', value: share(byEvents, compared.length), unit: '%', least: LEAST_KNOWN },
    {
      what: 'predicted = cached_tokens',
      value: share(equal, compared.length),
      unit: '%',
      least: LEAST_EQUAL,
    },
    { what: 'mean error', value: share(error, prompt), unit: '% of the prompt', most: 0.5 },
    { what: 'held of all prompt tokens', value: share(cached, prompt), unit: '%', least: 1 },
  ];
}
