import { setTimeout as pause } from 'node:timers/promises';

/** What an engine says of itself in its metrics. */
export interface EngineFigures {
  /** Tokens that came from another engine. */
  readonly externalHits: number;
  readonly running: number;
  /** Share of the KV cache in use. */
  readonly used: number;
  /** Prompts whose blocks nobody has fetched in time. */
  readonly expired: number;
}

export async function figuresOf(url: string): Promise<EngineFigures> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return {
    externalHits: sum(text, 'vllm:external_prefix_cache_hits_total'),
    running: sum(text, 'vllm:num_requests_running'),
    used: sum(text, 'vllm:kv_cache_usage_perc'),
    expired: sum(text, 'vllm:nixl_num_kv_expired_reqs_total'),
  };
}

/** How long it takes until it has nothing to do and no block is in use, ms; `withinMs` where it takes longer. */
export async function idle(url: string, withinMs: number): Promise<number> {
  const from = Date.now();
  while (Date.now() - from < withinMs) {
    const { running, used } = await figuresOf(url);
    if (running === 0 && used < 0.01) return Date.now() - from;
    await pause(250);
  }
  return Infinity;
}

function sum(text: string, name: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
