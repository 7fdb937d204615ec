import { seededRandom, type Random } from '../../../src/base/random.ts';
import type { RouterOptions } from '../../../src/config/load/options.ts';
import { startFleet, type Fleet } from '../../support/fleet.ts';
import { APIS, tell, type Api, type Told } from '../apis.ts';
import { allOf, type Figure, type VllmCase } from '../case.ts';
import type { VllmPair } from '../lab.ts';
import { narrowWayTo } from '../narrow.ts';
import { prose } from '../text.ts';
import { BLOCK_SIZE } from '../vllm-server.ts';
import { figuresOf, idle } from '../engine-figures.ts';

const WORDS = 150;
/** Takes the engine long enough that something can happen meanwhile. */
const MANY_WORDS = 2400;
/** Clients leave so long after they have asked, ms: while the prompt is computed, between the legs, within the answer. */
const LEAVE_AFTER_MS = [0, 5, 20, 50, 100, 200, 400, 800];
/** vLLM keeps blocks for nobody so long, and looks now and then. */
const LEASE_MS = 45_000;
const PATIENCE_SECS = 3;

/** One prompt computed on one server, and answered by another. */
export const pairCase: VllmCase = {
  name: 'pair',
  about:
    'prefill and decode on two servers, over NIXL: every API, what was transferred, who leaves, what fails',
  async run(lab, say) {
    const pair = await lab.pair();
    const random = seededRandom(Date.now() % 1_000_000);
    return [
      ...(await everyApi(pair, random, say)),
      ...(await clientsLeave(pair, random, say)),
      ...(await failures(pair, random, say)),
    ];
  },
};

function startRouter({
  prefill,
  decode,
}: {
  readonly prefill: string;
  readonly decode: string;
}): Promise<Fleet> {
  const pd: RouterOptions['pd'] = { split: 'always', prefillTimeoutSecs: PATIENCE_SECS };
  return startFleet({
    workers: [],
    router: {
      ...{
        workers: [
          { url: prefill, workerType: 'prefill' },
          { url: decode, workerType: 'decode' },
        ],
      },
      ...{ pd, policy: 'least_work', retry: { initialBackoffMs: 10 } },
    },
  });
}

async function everyApi(pair: VllmPair, random: Random, say: (text: string) => void): Promise<Figure[]> {
  const { prefill, decode } = pair;
  await using fleet = await startRouter({ prefill: prefill.url, decode: decode.url });
  const wrong = { texts: [], transfers: [], usage: [], params: [], records: [] } as Record<string, string[]>;
  const note = (
    what: keyof typeof wrong,
    isRight: boolean,
    api: Api,
    stream: boolean,
    found: unknown,
  ): void => {
    if (!isRight) wrong[what]?.push(`${api.path}${stream ? ' (stream)' : ''}: ${String(found)}`);
  };
  for (const api of APIS)
    for (const stream of [false, true]) {
      say(`${api.path}${stream ? ', streamed' : ''}`);
      const prompt = prose(random, WORDS);
      const before = await figuresOf(decode.url);
      const told = await tell(fleet.url, api, prompt, { stream });
      const after = await figuresOf(decode.url);
      const record = await fleet.decision(({ request_id: id }) => id === told.requestId);
      const alone = await tell(prefill.url, api, prompt, { stream });
      const fetched = after.externalHits - before.externalHits;
      const blocks = Math.floor((record.prompt_tokens ?? NaN) / BLOCK_SIZE);
      note(
        'texts',
        told.text !== '' && told.text === alone.text,
        api,
        stream,
        `"${told.text}", alone "${alone.text}"`,
      );
      note(
        'transfers',
        fetched >= blocks * BLOCK_SIZE,
        api,
        stream,
        `${String(fetched)} tokens of ${String(record.prompt_tokens)}`,
      );
      note('params', isWithoutParams(told, stream), api, stream, told.raw.slice(0, 200));
      note(
        'records',
        record.pd?.split === true && record.pd.unhanded === undefined,
        api,
        stream,
        JSON.stringify(record.pd),
      );
      const again = await tell(fleet.url, api, prompt, { stream });
      const cached = again.cachedTokens ?? NaN;
      const isTold = told.cachedTokens === undefined || told.cachedTokens === 0;
      note(
        'usage',
        isTold && (cached > 0 || told.cachedTokens === undefined),
        api,
        stream,
        `${String(told.cachedTokens)}, then ${String(cached)}`,
      );
    }
  const count = 2 * APIS.length;
  return [
    allOf('answers that are those of one server', wrong['texts'] ?? [], count),
    allOf('prompts whose blocks came from the other server', wrong['transfers'] ?? [], count),
    allOf("answers that tell the prefill server's cached tokens", wrong['usage'] ?? [], count),
    allOf('answers without addresses in kv_transfer_params', wrong['params'] ?? [], count),
    allOf('records that say so', wrong['records'] ?? [], count),
  ];
}

function isWithoutParams({ raw }: Told, stream: boolean): boolean {
  if (/remote_engine_id|remote_host|remote_block_ids/.test(raw)) return false;
  return stream || !raw.includes('"kv_transfer_params"') || raw.includes('"kv_transfer_params":null');
}

async function clientsLeave(
  { prefill, decode }: VllmPair,
  random: Random,
  say: (text: string) => void,
): Promise<Figure[]> {
  say('clients that leave');
  const [completions] = APIS.filter(({ path }) => path === '/v1/completions');
  if (!completions) throw new Error('no completions');
  const before = await figuresOf(prefill.url);
  {
    await using fleet = await startRouter({ prefill: prefill.url, decode: decode.url });
    for (const ms of LEAVE_AFTER_MS) {
      const prompt = prose(random, MANY_WORDS);
      const signal = AbortSignal.timeout(ms);
      await tell(fleet.url, completions, prompt, { stream: true, maxTokens: 500, signal }).catch(
        () => undefined,
      );
    }
    // Stopping it shows that nothing is left behind in the router.
  }
  const idleMs = await Promise.all([prefill, decode].map(({ url }) => idle(url, LEASE_MS)));
  const { expired } = await figuresOf(prefill.url);
  return [
    {
      ...{ what: 'clients that left: until both engines have nothing to do and no block in use' },
      ...{ value: Math.max(...idleMs) / 1000, unit: 's', most: LEASE_MS / 1000 },
      note: `${String(expired - before.expired)} of ${String(LEAVE_AFTER_MS.length)} prompts' blocks were let go when their time was over`,
    },
  ];
}

/** What the client is told while one of the two hangs or is gone. */
async function failures(
  { prefill, decode }: VllmPair,
  random: Random,
  say: (text: string) => void,
): Promise<Figure[]> {
  await using toPrefill = await narrowWayTo(prefill.url);
  await using toDecode = await narrowWayTo(decode.url);
  await using fleet = await startRouter({ prefill: toPrefill.url, decode: toDecode.url });
  const [chat] = APIS;
  if (!chat) throw new Error('no chats');
  const wrong: string[] = [];
  const expectWhole = async (what: string, fail: () => void, words = WORDS): Promise<void> => {
    say(what);
    const prompt = prose(random, words);
    const asked = tell(fleet.url, chat, prompt, { stream: false });
    fail();
    const told = await asked;
    toPrefill.open();
    const { pd } = await fleet.decision(({ request_id: id }) => id === told.requestId);
    const alone = await tell(decode.url, chat, prompt, { stream: false });
    if (told.status !== 200 || told.text !== alone.text || pd?.split !== false)
      wrong.push(`${what}: ${String(told.status)} ${told.text} ${JSON.stringify(pd)}`);
  };
  await expectWhole('the prefill server hangs', () => toPrefill.hold());
  await expectWhole('the prefill server is gone', () => toPrefill.shut());
  say('the decode server dies within its answer');
  const broken = await tellUntilCut(fleet, chat, prose(random, WORDS), () => toDecode.shut());
  if (broken !== 'worker_broken') wrong.push(`the decode server dies within its answer: ${broken}`);
  return [allOf('failures that the client is served through, or hears of', wrong, 3)];
}

/** How the record says that it ended. */
async function tellUntilCut(fleet: Fleet, api: Api, prompt: string, cut: () => void): Promise<string> {
  const response = await fetch(`${fleet.url}${api.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', ...api.body(prompt, 1000), ignore_eos: true, stream: true }),
  });
  const reader = response.body?.getReader();
  await reader?.read();
  cut();
  try {
    while ((await reader?.read())?.done === false);
  } catch {
    // The client's connection breaks, or an event tells it: the record says which worker it was.
  }
  const id = response.headers.get('x-request-id');
  return (await fleet.decision(({ request_id: of }) => of === id)).outcome;
}
