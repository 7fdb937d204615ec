import { setImmediate } from 'node:timers/promises';
import type { App } from '../app.ts';
import { systemClock } from '../base/system-clock.ts';
import { collect, type Collected } from '../engines/collect.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import { headerOf } from '../http/headers.ts';
import type { Decision } from '../request/record/decision.ts';

/** Of the prompt that is worth a pair, in words. */
const LONG = 12_000;
const WORDS = ['north', 'south', 'east', 'west', 'river', 'hill', 'stone', 'cloud'] as const;
/** Answers that the decode workers write meanwhile: a long prompt on the same worker would hold them all up. */
const STREAMS = 24;
const RECORDS = 1000;
const LIMITS = { timeoutMs: 60_000, maxBytes: 16 * 1024 * 1024 };

/** Sends a few requests, so that there is something to see; the text says what became of them. */
export async function showPairs(app: App, url: string, model: string): Promise<string> {
  const client = new Client(app, url, model);
  const done = new AbortController();
  const long = longPrompt();
  const alone = [await show(client, 'a short prompt', 'Hello!')];
  const streams = Array.from({ length: STREAMS }, (_, index) => client.keepBusy(index, done.signal));
  const busy = [await show(client, 'a long one', long), await show(client, 'the same once more', long)];
  done.abort();
  await Promise.all(streams);
  client.close();
  return `
  Three requests, to show who serves what:

    with nothing else to do
${alone.join('\n')}

    while ${String(STREAMS)} answers are being written
${busy.join('\n')}

`;
}

async function show(client: Client, what: string, prompt: string): Promise<string> {
  const record = await client.ask(prompt);
  return `      ${what.padEnd(20)}${record ? outcomeOf(record) : 'no answer'}`;
}

/** A client of the router. */
class Client {
  readonly #app: App;
  readonly #model: string;
  readonly #client: HttpWorkerClient;

  constructor(app: App, url: string, model: string) {
    this.#app = app;
    this.#model = model;
    const pool = { connectMs: LIMITS.timeoutMs, maxHeaderSize: 64 * 1024 };
    this.#client = new HttpWorkerClient({ baseUrl: url }, pool, { clock: systemClock });
  }

  /** Its record; undefined where nothing came: flags of the command line may want keys or certificates of a client. */
  async ask(content: string): Promise<Decision | undefined> {
    const answer = await this.#post(content, 8);
    if (answer.kind === 'failed') return undefined;
    const id = headerOf(answer.headers, 'x-request-id');
    // It is written when the answer has left.
    await setImmediate();
    return (await this.#app.allDecisions(RECORDS)).findLast(({ request_id: of }) => of === id);
  }

  /** Has an answer written that takes longer than anything here. */
  async keepBusy(index: number, signal: AbortSignal): Promise<void> {
    await this.#post(`Write a long story, number ${String(index)}.`, 4000, signal);
  }

  close(): void {
    this.#client.close();
  }

  #post(content: string, maxTokens: number, signal?: AbortSignal): Promise<Collected> {
    const messages = [{ role: 'user', content }];
    const fields = { model: this.#model, messages, max_tokens: maxTokens, stream: true, ignore_eos: true };
    const request = {
      ...{ method: 'POST', path: '/v1/chat/completions', headers: ['content-type', 'application/json'] },
      ...{ body: Buffer.from(JSON.stringify(fields)), upgrade: undefined },
    };
    return collect(this.#client, request, systemClock, { ...LIMITS, ...(signal && { signal }) });
  }
}

/** Which way it went, and why. */
function outcomeOf({ pd, worker = '', ttft_ms: firstTokenMs, prompt_tokens: tokens = 0 }: Decision): string {
  const size = `${String(tokens)} tokens, `;
  if (!pd) return `${size}${worker}`;
  const expected = [
    ...(pd.pair_ms === undefined ? [] : [`a pair ${inSecs(pd.pair_ms)}`]),
    ...(pd.whole_ms === undefined ? [] : [`one worker ${inSecs(pd.whole_ms)}`]),
  ].join(', ');
  const why = `${pd.reason}${expected === '' ? '' : `; expected of ${expected}`}`;
  if (!pd.split) return `${size}whole on ${worker} (${why})`;
  const took = `prompt in ${inSecs(pd.prefill_ms)} on ${pd.prefill_worker ?? ''}, fetched in ${inSecs(pd.fetch_ms)} by ${worker}`;
  return `${size}${took}, first token after ${inSecs(firstTokenMs)} (${why})`;
}

function inSecs(ms = 0): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function longPrompt(): string {
  return Array.from({ length: LONG }, (_, at) => WORDS[(at * at + at) % WORDS.length] ?? '').join(' ');
}
