import { randomInt, seededRandom } from '../../../src/base/random.ts';
import type { Decision } from '../../../src/request/record/decision.ts';
import { startFleet, type Fleet } from '../../support/fleet.ts';
import type { Figure, VllmCase } from '../case.ts';
import { runChats } from '../chats.ts';
import { prose } from '../text.ts';
import { MODEL, type VllmServer } from '../vllm-server.ts';

const LOAD = { conversations: 12, turns: 6, atOnce: 2, maxTokens: 16 };
/** What is learnt first. */
const FIRST_CHATS = 2;
const DOCUMENTS = 6;
const DOCUMENT_WORDS = 2600;
const ROUNDS = 5;
/** From this round on what is predicted is what is real. */
const LEARNT_ROUND = 3;

/** Where there are no events: what was sent where, against what the engines then find. */
export const predictionCase: VllmCase = {
  name: 'prediction',
  about:
    'without events and tokenizer: chats of several turns, several scripts, token ids, and documents round and round in a small cache',
  async run(lab, say) {
    const servers = await lab.fleet(2);
    const seed = Date.now() % 1_000_000;
    return [
      ...(await chats(servers, seed, say)),
      ...(await scripts(servers, seed, say)),
      ...(await tokenIds(servers, seed, say)),
      ...(await thrashing(servers.slice(0, 1), seed, say)),
    ];
  },
};

function startPredicting(servers: readonly VllmServer[]): Promise<Fleet> {
  return startFleet({
    workers: [],
    extraWorkerUrls: servers.map(({ url }) => url),
    router: { policy: 'least_work', cacheKnowledge: 'predicted', loadCheckIntervalSecs: 5 },
  });
}

/** Sends one request, and reads what became of it. */
async function send(fleet: Fleet, path: string, body: object): Promise<Decision> {
  const response = await fetch(`${fleet.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: MODEL, max_tokens: 4, ...body }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`status ${String(response.status)}: ${text.slice(0, 200)}`);
  const id = response.headers.get('x-request-id');
  return fleet.decision(({ request_id: of }) => of === id);
}

async function chats(
  servers: readonly VllmServer[],
  seed: number,
  say: (text: string) => void,
): Promise<Figure[]> {
  await using fleet = await startPredicting(servers);
  const records: Decision[] = [];
  await runChats(fleet.url, { ...LOAD, seed }, async (id) => {
    records.push(await fleet.decision(({ request_id: of }) => of === id));
    if (records.length % 24 === 0) say(`${String(records.length)} requests`);
  });
  const later = records.slice(FIRST_CHATS * LOAD.turns);
  return [
    meanError('chats: mean error', records, 3),
    meanError('chats, once the tokenizer is learnt', later, 3),
    { what: 'chats: held of all prompt tokens', value: heldShare(records), unit: '%', least: 20 },
  ];
}

async function scripts(
  servers: readonly VllmServer[],
  seed: number,
  say: (text: string) => void,
): Promise<Figure[]> {
  await using fleet = await startPredicting(servers);
  const random = seededRandom(seed);
  const figures: Figure[] = [];
  for (const [script, write] of Object.entries(SCRIPTS)) {
    say(script);
    const records: Decision[] = [];
    for (let document = 0; document < 6; document++) {
      const text = write(random);
      for (const question of ['One?', 'Two?', 'Three?'])
        records.push(
          await send(fleet, '/v1/chat/completions', {
            messages: [{ role: 'user', content: `${text} ${question}` }],
          }),
        );
    }
    figures.push(meanError(`${script}: mean error`, records.slice(6), 5));
  }
  return figures;
}

const SCRIPTS: Readonly<Record<string, (random: () => number) => string>> = {
  English: (random) => prose(random, 250),
  Chinese: (random) => characters(random, 0x4e00, 0x5000, 400),
  Cyrillic: (random) => Array.from({ length: 120 }, () => characters(random, 0x430, 0x44f, 5)).join(' '),
  digits: (random) => Array.from({ length: 200 }, () => String(randomInt(random, 100_000))).join(', '),
};

function characters(random: () => number, from: number, to: number, count: number): string {
  return String.fromCharCode(...Array.from({ length: count }, () => from + randomInt(random, to - from)));
}

async function tokenIds(
  servers: readonly VllmServer[],
  seed: number,
  say: (text: string) => void,
): Promise<Figure[]> {
  say('token ids');
  await using fleet = await startPredicting(servers);
  const random = seededRandom(seed);
  const records: Decision[] = [];
  for (let conversation = 0; conversation < 8; conversation++) {
    const prompt: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      for (let id = randomInt(random, 250); id >= 0; id--) prompt.push(100 + randomInt(random, 3000));
      records.push(await send(fleet, '/v1/completions', { prompt }));
    }
  }
  return [meanError('token ids: mean error', records, 0.5)];
}

async function thrashing(
  servers: readonly VllmServer[],
  seed: number,
  say: (text: string) => void,
): Promise<Figure[]> {
  await using fleet = await startPredicting(servers);
  const random = seededRandom(seed);
  const documents = Array.from({ length: DOCUMENTS }, () => prose(random, DOCUMENT_WORDS));
  const learnt: Decision[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    for (const content of documents) {
      const record = await send(fleet, '/v1/chat/completions', { messages: [{ role: 'user', content }] });
      if (round >= LEARNT_ROUND) learnt.push(record);
    }
    say(`documents, round ${String(round)}`);
  }
  return [
    meanError(`documents round and round: mean error from round ${String(LEARNT_ROUND)} on`, learnt, 3),
    { what: 'documents: held of all prompt tokens', value: heldShare(learnt), unit: '%', most: 50 },
  ];
}

function meanError(what: string, records: readonly Decision[], most: number): Figure {
  const shares = records.map(
    ({
      predicted_cached_tokens: predicted = NaN,
      actual_cached_tokens: actual = NaN,
      prompt_tokens: prompt = NaN,
    }) => Math.abs(predicted - actual) / prompt,
  );
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return {
    what,
    value: 100 * mean,
    unit: '% of the prompt',
    most,
    note: `${String(records.length)} requests`,
  };
}

function heldShare(records: readonly Decision[]): number {
  const cached = records.reduce((sum, { actual_cached_tokens: tokens = 0 }) => sum + tokens, 0);
  const prompt = records.reduce((sum, { prompt_tokens: tokens = 0 }) => sum + tokens, 0);
  return (100 * cached) / prompt;
}
