import type { Config } from './schema.ts';
import { expandWorkers } from './settings-from-config.ts';
import { parseWorkerUrl } from './worker-url.ts';

export interface CheckProblem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** What no key can be blamed for alone. `config` has passed the schema. */
export function crossChecks(config: Config): {
  readonly problems: readonly CheckProblem[];
  readonly notices: readonly string[];
} {
  const problems: CheckProblem[] = [...workerProblems(config), ...doubleKeyProblems(config)];
  if (config.retry.max_backoff_ms < config.retry.initial_backoff_ms) {
    const least = String(config.retry.initial_backoff_ms);
    problems.push({
      path: ['retry', 'max_backoff_ms'],
      message: `expected at least retry.initial_backoff_ms (${least}), got ${config.retry.max_backoff_ms}`,
    });
  }
  const { metrics, port, host } = config;
  if (metrics.enabled && port !== 0 && metrics.port === port && metrics.host === host) {
    problems.push({
      path: ['metrics', 'port'],
      message: `expected another port than the server's, got ${port} on ${host} for both`,
    });
  }
  return { problems, notices: unusedKeyNotices(config) };
}

function workerProblems(config: Config): CheckProblem[] {
  const problems: CheckProblem[] = [];
  const seen = new Map<string, string>();
  const size = config.intra_node_data_parallel_size;
  for (const [index, url] of config.worker_urls.entries()) {
    const path = ['worker_urls', index];
    const parsed = parseWorkerUrl(url);
    if (parsed.kind === 'ok' && parsed.address.rank !== undefined && size > 1) {
      const message = `expected a URL without @rank: intra_node_data_parallel_size ${size} makes the ranks, got "${url}"`;
      problems.push({ path, message });
      continue;
    }
    for (const { id } of expandWorkers(url, config)) {
      const other = seen.get(id);
      if (other !== undefined) {
        problems.push({
          path,
          message: `expected every worker once, got "${url}" again${other === url ? '' : ` (as "${other}")`}`,
        });
        break;
      }
      seen.set(id, url);
    }
  }
  return problems;
}

/** Two spellings of one URL: which of the keys would count? */
function doubleKeyProblems(config: Config): CheckProblem[] {
  const seen = new Set<string>();
  return Object.keys(config.worker_api_keys).flatMap((url) => {
    const parsed = parseWorkerUrl(url);
    if (parsed.kind === 'bad') return [];
    const { baseUrl } = parsed.address;
    if (seen.has(baseUrl))
      return [{ path: ['worker_api_keys', url], message: `expected one key for ${baseUrl}` }];
    seen.add(baseUrl);
    return [];
  });
}

/** A key without a worker is a typing error more often than not, but the workers may come from a flag this time. */
function unusedKeyNotices(config: Config): string[] {
  const used = new Set(
    config.worker_urls.flatMap((url) => expandWorkers(url, config).map((spec) => spec.baseUrl)),
  );
  return Object.keys(config.worker_api_keys).flatMap((url) => {
    const parsed = parseWorkerUrl(url);
    if (parsed.kind === 'ok' && used.has(parsed.address.baseUrl)) return [];
    return [`worker_api_keys: no worker has the URL ${url}`];
  });
}
