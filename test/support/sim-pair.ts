import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';

/** What a router sends to a prefill worker over NIXL. */
export const TO_PREFILL = {
  do_remote_decode: true,
  do_remote_prefill: false,
  remote_engine_id: null,
  remote_block_ids: null,
  remote_host: null,
  remote_port: null,
} as const;

const WORDS = 'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu ';

let prompts = 0;

/** One that no cache has anything of; some 120 tokens. */
export function newPrompt(): string {
  return `${String(prompts++)} ${WORDS.repeat(7)}`;
}

/** A prefill and a decode worker without delays. */
export interface SimPair extends AsyncDisposable {
  readonly prefill: SimWorker;
  readonly decode: SimWorker;
}

export async function startPair(
  options: SimOptions,
  more: { readonly prefill?: SimOptions; readonly decode?: SimOptions } = {},
): Promise<SimPair> {
  const both: SimOptions = { timeScale: 0, model: { blocks: 4096 }, ...options };
  const prefill = await startSimWorker({ ...both, role: 'prefill', ...more.prefill });
  const decode = await startSimWorker({ ...both, role: 'decode', ...more.decode }).catch(
    async (error: unknown) => {
      await prefill.stop();
      throw error;
    },
  );
  return {
    ...{ prefill, decode },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([prefill.stop(), decode.stop()]);
    },
  };
}

export interface Answered {
  readonly status: number;
  readonly body: ReturnType<typeof JSON.parse>;
}

export async function ask(
  worker: SimWorker,
  body: object,
  { path = '/v1/completions', id = 'r-1', signal }: { path?: string; id?: string; signal?: AbortSignal } = {},
): Promise<Answered> {
  const response = await fetch(`${worker.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': id },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
  return { status: response.status, body: await response.json() };
}

/** The answer's `kv_transfer_params`. */
export async function prefilled(
  worker: SimWorker,
  prompt: string,
  params: object = TO_PREFILL,
): Promise<Record<string, unknown>> {
  const { status, body } = await ask(worker, { prompt, max_tokens: 1, kv_transfer_params: params });
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body.kv_transfer_params;
}

/** Of the first series with that name. */
export async function metricOf(worker: SimWorker, name: string): Promise<number> {
  const text = await (await fetch(`${worker.url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name}{`));
  return line === undefined ? NaN : Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** Prompts whose blocks a worker keeps for others. */
export function keptBy({ kvTransfer }: SimWorker): number {
  return kvTransfer?.kept ?? NaN;
}
