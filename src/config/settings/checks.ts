import { noticesOfUnused, registrationOf, urlOf, urlProblem } from '../schema/worker-entry.ts';
import { kvEventProblems } from './kv-events-settings.ts';
import { pluginHookProblems } from './hooks-settings.ts';
import { modelRuleChecks } from './model-rules-checks.ts';
import { openListenerNotices } from './open-listener.ts';
import { policyInForce, pluginPolicyProblems, type KnownPlugins } from '../schema/plugin-policy-schema.ts';
import type { CheckProblem } from '../schema/check-problem.ts';
import type { Config } from '../schema/schema.ts';
import type { WorkerRole } from './pd-settings.ts';
import { externalNotices, externalProblems, isExternalOnly, workerEntries } from './external-from-config.ts';
import { redisChecks, redisNotices } from './redis-sections.ts';
import { pdNotices, pdProblems } from './pd-checks.ts';
import { semanticNotices, semanticProblems } from './semantic-from-config.ts';
import { stageEntries } from './pd-from-config.ts';
import { expandWorkers, workerDefaults } from './settings-from-config.ts';
import { ranksOf } from './worker-specs.ts';
import { threadNotices } from './threads.ts';
import { covers, parseUrlPrefix } from '../schema/url-prefixes.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';

/** What no key can be blamed for alone. `config` has passed the schema. */
export function crossChecks(
  config: Config,
  plugins: KnownPlugins,
): {
  readonly problems: readonly CheckProblem[];
  readonly notices: readonly string[];
} {
  const problems: CheckProblem[] = [
    ...workerProblems(config),
    ...doubleKeyProblems(config),
    ...policyProblems(config, plugins),
    ...hookProblems(config, plugins),
    ...kvEventProblems(config),
    ...pdProblems(config, plugins),
    ...externalProblems(config),
    ...semanticProblems(config),
    ...redisChecks(config),
  ];
  if (config.retry.max_backoff_ms < config.retry.initial_backoff_ms) {
    const least = String(config.retry.initial_backoff_ms);
    problems.push({
      path: ['retry', 'max_backoff_ms'],
      message: `expected at least retry.initial_backoff_ms (${least}), got ${config.retry.max_backoff_ms}`,
    });
  }
  const { min_silence_secs: least, max_silence_secs: most } = config.stall_check;
  if (most < least) {
    problems.push({
      path: ['stall_check', 'max_silence_secs'],
      message: `expected at least stall_check.min_silence_secs (${least}), got ${most}`,
    });
  }
  const { metrics, port, host } = config;
  if (metrics.enabled && port !== 0 && metrics.port === port && metrics.host === host) {
    problems.push({
      path: ['metrics', 'port'],
      message: `expected another port than the server's, got ${port} on ${host} for both`,
    });
  }
  const rules = modelRuleChecks(config.model_rules);
  problems.push(...rules.problems);
  return {
    problems,
    notices: [
      ...unusedKeyNotices(config),
      ...unusedFieldNotices(config),
      ...openListenerNotices(config),
      ...rules.notices,
      ...threadNotices(config),
      ...pdNotices(config),
      ...semanticNotices(config),
      ...externalNotices(config),
      ...redisNotices(config),
    ],
  };
}

/** Whether a name that is no built-in policy's is that of a plugin's, and what the plugin says of its parameters. */
function policyProblems(config: Config, plugins: KnownPlugins): CheckProblem[] {
  const given = [
    { at: ['policy'], policy: policyInForce(config) },
    ...Object.entries(config.model_policies).map(([model, policy]) => ({
      at: ['model_policies', model],
      policy,
    })),
  ];
  return given.flatMap(({ at, policy }) =>
    pluginPolicyProblems(policy, plugins).map(({ path, message }) => ({ path: [...at, ...path], message })),
  );
}

function hookProblems(config: Config, plugins: KnownPlugins): CheckProblem[] {
  return config.pre_routing_hooks.flatMap((hook, index) =>
    pluginHookProblems(hook, plugins).map(({ path, message }) => ({
      path: ['pre_routing_hooks', index, ...path],
      message,
    })),
  );
}

function workerProblems(config: Config): CheckProblem[] {
  const problems: CheckProblem[] = [];
  const seen = new Map<string, string>();
  const defaults = workerDefaults(config);
  const urlsRole: WorkerRole | undefined = isExternalOnly(config) ? 'external' : undefined;
  const entries = [
    ...config.workers.map((entry, index) => ({ entry, path: ['workers', index, 'url'] })),
    ...stageEntries(config),
  ];
  const given = [
    ...config.worker_urls.map((url, index) => ({ url, role: urlsRole, path: ['worker_urls', index] })),
    ...entries.map(({ entry, path }) => ({ url: entry.url, role: entry.worker_type, path })),
  ];
  for (const { url, role, path } of given) {
    const parsed = parseWorkerUrl(url, urlOf(role));
    const misread = path[0] === 'worker_urls' ? urlProblem(url, role) : undefined;
    if (misread !== undefined) {
      problems.push({ path, message: `${misread}, got "${url}"` });
      continue;
    }
    const size = ranksOf(defaults, role ?? 'regular');
    if (parsed.kind === 'ok' && parsed.address.rank !== undefined && size > 1) {
      const message = `expected a URL without @rank: ${ranksKey(config, role)} ${size} makes the ranks, got "${url}"`;
      problems.push({ path, message });
      continue;
    }
    for (const { id } of expandWorkers(url, config, role ?? undefined)) {
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

/** The key that says how many ranks a URL of that role stands for. */
function ranksKey(config: Config, role: WorkerRole | null | undefined): string {
  const own = role === 'prefill' || role === 'decode' ? (`${role}_data_parallel_size` as const) : undefined;
  return own !== undefined && config[own] !== undefined ? own : 'intra_node_data_parallel_size';
}

/** Two spellings of one URL: which of the two would count? */
function doubleKeyProblems(config: Config): CheckProblem[] {
  return (['worker_api_keys', 'worker_tls_overrides'] as const).flatMap((name) => {
    const seen = new Set<string>();
    return Object.keys(config[name]).flatMap((given) => {
      const prefix = parseUrlPrefix(given);
      if (!prefix) return [];
      const { url, anyPort } = prefix;
      const spelling = `${url} ${anyPort}`;
      if (seen.has(spelling)) return [{ path: [name, given], message: `expected one entry for ${url}` }];
      seen.add(spelling);
      return [];
    });
  });
}

/** An entry without a worker is a typing error more often than not, but the workers may come from a flag this time. */
function unusedFieldNotices({ workers }: Config): string[] {
  return workers.flatMap((entry, index) =>
    noticesOfUnused(registrationOf(entry)).map((notice) => `workers[${index}].${notice}`),
  );
}

function unusedKeyNotices(config: Config): string[] {
  const used = [
    ...config.worker_urls.map((url) => ({ url, worker_type: undefined })),
    ...workerEntries(config),
  ].flatMap(({ url, worker_type: role }) =>
    expandWorkers(url, config, role ?? undefined).map((spec) => spec.baseUrl),
  );
  return (['worker_api_keys', 'worker_tls_overrides'] as const).flatMap((name) =>
    Object.keys(config[name]).flatMap((url) => {
      const prefix = parseUrlPrefix(url);
      if (prefix && used.some((baseUrl) => covers(prefix, baseUrl))) return [];
      return [`${name}: no worker has the URL ${url}`];
    }),
  );
}
