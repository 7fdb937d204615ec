import type { ServerResponse } from 'node:http';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { startFleet, type Fleet, type FleetOptions } from './fleet.ts';
import { startScriptedWorker, type Received, type Script, type ScriptedWorker } from './scripted-worker.ts';

/** A router in front of scripted prefill and decode workers. */
export interface PairFleet extends AsyncDisposable {
  readonly fleet: Fleet;
  readonly prefills: readonly ScriptedWorker[];
  readonly decodes: readonly ScriptedWorker[];
}

export interface PairOptions {
  readonly prefills?: readonly Script[];
  readonly decodes?: readonly Script[];
  readonly pd?: RouterOptions['pd'];
  readonly router?: FleetOptions['router'];
  readonly log?: FleetOptions['log'];
}

/** What a prefill worker says of its blocks, with numbers and keys that no parser keeps. */
export const PARAMS =
  '{"do_remote_prefill":true,"do_remote_decode":false,"remote_block_ids":[[9007199254740993,2]],"remote_engine_id":"e-1","new":1.0}';

export function answerPrefill(response: ServerResponse, params = PARAMS): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(
    `{"id":"cmpl-p","choices":[{"index":0,"text":"x"}],"usage":{"prompt_tokens":64,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":16}},"kv_transfer_params":${params}}`,
  );
}

export function answerDecode(response: ServerResponse, request: Received): void {
  const body = JSON.parse(request.body.toString()) as { stream?: boolean };
  const usage =
    '"usage":{"prompt_tokens":64,"completion_tokens":4,"total_tokens":68,"prompt_tokens_details":{"cached_tokens":0}}';
  if (body.stream === true) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"id":"d","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n');
    response.write(`data: {"id":"d","choices":[],${usage},"kv_transfer_params":{"a":1}}\n\n`);
    response.end('data: [DONE]\n\n');
    return;
  }
  const answer = `{"id":"d","choices":[{"index":0,"message":{"role":"assistant","content":"hello"}}],${usage},"kv_transfer_params":{"a":1}}`;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(answer.length) });
  response.end(answer);
}

/** Every request is split, unless `pd` says otherwise. */
export async function startPairs(options: PairOptions = {}): Promise<PairFleet> {
  const {
    prefills: scripts = [answerPrefillTo],
    decodes: answers = [answerDecode],
    pd,
    router,
    log,
  } = options;
  const prefills = await Promise.all(scripts.map((script) => startScriptedWorker(script)));
  const decodes = await Promise.all(answers.map((script) => startScriptedWorker(script)));
  const all = [...prefills, ...decodes];
  const stop = (): Promise<unknown> => Promise.all(all.map((worker) => worker[Symbol.asyncDispose]()));
  try {
    const fleet = await startFleet({
      workers: [],
      ...(log && { log }),
      router: {
        retry: { initialBackoffMs: 1, maxBackoffMs: 5 },
        ...router,
        pd: { split: 'always', ...pd },
        workers: [
          ...prefills.map(({ url }) => ({ url, workerType: 'prefill' as const })),
          ...decodes.map(({ url }) => ({ url, workerType: 'decode' as const })),
        ],
      },
    });
    return {
      ...{ fleet, prefills, decodes },
      async [Symbol.asyncDispose]() {
        await fleet.stop();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function answerPrefillTo(response: ServerResponse): void {
  answerPrefill(response);
}
