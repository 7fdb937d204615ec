import type { CacheConfig } from '../workers/cache-config.ts';

/** What the metrics say of one engine (data-parallel rank); absent where the series are missing. */
export interface EngineReport {
  /** Running and waiting. */
  requests?: number;
  /** Grows with whatever the engine does: tokens, steps, requests that ended by themselves. */
  work?: number;
  cache?: CacheConfig;
  /** Prompt tokens that its prefix cache was asked for, and those of them that it had; since the engine began. */
  cacheQueries?: number;
  cacheHits?: number;
}

type Sum = Exclude<keyof EngineReport, 'cache'>;

const REQUESTS = /^vllm:num_requests_(?:running|waiting)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
// Requests that were aborted are counted by the server, which goes on when its engine hangs.
const WORK =
  /^vllm:(?:prompt_tokens_total|generation_tokens_total|iteration_tokens_total_count|request_success_total)(?:\{((?![^}]*finished_reason="abort")[^}]*)\})?\s+([0-9.eE+-]+)/;
const QUERIES = /^vllm:prefix_cache_queries_total(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
const HITS = /^vllm:prefix_cache_hits_total(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
const SERIES: readonly (readonly [RegExp, Sum])[] = [
  [REQUESTS, 'requests'],
  [WORK, 'work'],
  [QUERIES, 'cacheQueries'],
  [HITS, 'cacheHits'],
];
const CACHE_CONFIG = 'vllm:cache_config_info{';
const ENGINE_LABEL = /(?:^|[{,])\s*engine="(\d+)"/;

const PREFIX = 'vllm:';
/** How the lines begin that one of these may fit, a handful of the thousand that a server has, by the letter behind the prefix. */
const BEGINNINGS: ReadonlyMap<number, readonly string[]> = Map.groupBy(
  [
    'num_requests_',
    'prompt_tokens_total',
    'prefix_cache_queries_total',
    'prefix_cache_hits_total',
    'generation_tokens_total',
    'iteration_tokens_total_count',
    'request_success_total',
    'cache_config_info{',
  ].map((name) => PREFIX + name),
  (beginning) => beginning.charCodeAt(PREFIX.length),
);
const FIRST_LETTER = PREFIX.charCodeAt(0);

/** More of either no engine has. */
const MOST_BLOCK_SIZE = 2 ** 20;
const MOST_BLOCKS = 2 ** 31;

/** The lines that are worth a closer look. */
function linesOf(exposition: string): string[] {
  const lines: string[] = [];
  let end = -1;
  while (end < exposition.length) {
    const at = end + 1;
    const next = exposition.indexOf('\n', at);
    end = next < 0 ? exposition.length : next;
    if (exposition.charCodeAt(at) !== FIRST_LETTER) continue;
    const beginnings = BEGINNINGS.get(exposition.charCodeAt(at + PREFIX.length));
    if (beginnings?.some((beginning) => exposition.startsWith(beginning, at)))
      lines.push(exposition.slice(at, end));
  }
  return lines;
}

/** By vLLM's `engine` label; a server without the label has the one engine 0. */
export function readEngines(exposition: string): Map<number, EngineReport> {
  const engines = new Map<number, EngineReport>();
  const reportOf = (labels: string): EngineReport => {
    const engine = Number(ENGINE_LABEL.exec(labels)?.[1] ?? 0);
    const report = engines.get(engine) ?? {};
    engines.set(engine, report);
    return report;
  };
  const configs: [EngineReport, string][] = [];
  for (const line of linesOf(exposition)) {
    if (line.startsWith(CACHE_CONFIG)) {
      configs.push([reportOf(line), line]);
      continue;
    }
    for (const [series, field] of SERIES) {
      const match = series.exec(line);
      const value = Number(match?.[2]);
      if (!match || !Number.isFinite(value)) continue;
      const report = reportOf(match[1] ?? '');
      report[field] = (report[field] ?? 0) + value;
      break;
    }
  }
  for (const [report, line] of configs) {
    const config = readCacheConfig(line, configs.length);
    if (config) report.cache = config;
  }
  return engines;
}

/** A worker without a rank is the whole server, whose engines add up. */
export function engineOf(engines: ReadonlyMap<number, EngineReport>, rank: number | undefined): EngineReport {
  if (rank !== undefined) return engines.get(rank) ?? {};
  const whole: EngineReport = {};
  for (const report of engines.values()) {
    for (const [, field] of SERIES) {
      const more = report[field];
      if (more !== undefined) whole[field] = (whole[field] ?? 0) + more;
    }
    if (report.cache) whole.cache = joined(whole.cache, report.cache);
  }
  return whole;
}

/**
 * The size in tokens, where a server says it, is that of each engine; `num_gpu_blocks` vLLM adds up over all engines and writes
 * at each of them (0.32 with two: 512 where each has 256).
 */
function readCacheConfig(line: string, engines: number): CacheConfig | undefined {
  const blockSize = numberIn(line, 'block_size', MOST_BLOCK_SIZE);
  if (blockSize === undefined) return undefined;
  const tokens = numberIn(line, 'kv_cache_size_tokens', MOST_BLOCKS);
  const ofAll = numberIn(line, 'num_gpu_blocks', MOST_BLOCKS);
  const blocks = tokens === undefined ? ofAll && Math.floor(ofAll / engines) : Math.floor(tokens / blockSize);
  const caching = labelIn(line, 'enable_prefix_caching');
  return {
    blockSize,
    blocks: blocks === 0 ? undefined : blocks,
    prefixCaching: caching === 'True' ? true : caching === 'False' ? false : undefined,
  };
}

function joined(one: CacheConfig | undefined, other: CacheConfig): CacheConfig {
  if (!one) return other;
  const isKnown = one.blocks !== undefined && other.blocks !== undefined;
  return { ...one, blocks: isKnown ? one.blocks + other.blocks : undefined };
}

/** A whole number from 1 to `most`. */
function numberIn(line: string, label: string, most: number): number | undefined {
  const value = Number(labelIn(line, label));
  return Number.isInteger(value) && value >= 1 && value <= most ? value : undefined;
}

/** Other labels end with this one's name, such as `hash_block_size`. */
function labelIn(line: string, label: string): string | undefined {
  return new RegExp(`[{,]\\s*${label}="([^"]*)"`).exec(line)?.[1];
}
