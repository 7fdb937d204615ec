import type { CheckProblem } from '../schema/check-problem.ts';
import { externalTraits } from '../schema/external-schema.ts';
import type { Config } from '../schema/schema.ts';
import { urlOf, type WorkerEntry } from '../schema/worker-entry.ts';
import { parseWorkerUrl } from '../schema/worker-url.ts';
import type { ExternalTraits } from './external-settings.ts';
import { proxyFor } from './proxy-for.ts';
import { stageEntries } from './pd-from-config.ts';

export type ExternalConfig = Pick<
  Config,
  'backend' | 'mode' | 'worker_urls' | 'workers' | 'prefill_urls' | 'decode_urls'
>;

/** Whether `worker_urls` are providers, and nobody else is there. */
export function isExternalOnly({ backend, mode }: Pick<Config, 'backend' | 'mode'>): boolean {
  return backend === 'openai' || mode.type === 'openai';
}

/** The entries of all workers of which more than their URL is said. */
export function workerEntries(config: ExternalConfig): readonly WorkerEntry[] {
  return placedEntries(config).map(({ entry }) => entry);
}

/** The same, and where they stand. */
function placedEntries(
  config: ExternalConfig,
): readonly { readonly entry: WorkerEntry; readonly path: readonly PropertyKey[] }[] {
  const urls = isExternalOnly(config) ? config.worker_urls : [];
  return [
    ...urls.map((url, index) => ({
      entry: { url, worker_type: 'external' as const },
      path: ['worker_urls', index],
    })),
    ...config.workers.map((entry, index) => ({ entry, path: ['workers', index] })),
    ...stageEntries(config),
  ];
}

/** What is wrong about external backends beyond the single keys. */
export function externalProblems(config: Config): CheckProblem[] {
  const problems: CheckProblem[] = isExternalOnly(config) ? fleetProblems(config) : [];
  const names = new Map<string, PropertyKey>();
  for (const { entry, path } of placedEntries(config)) {
    if (entry.worker_type !== 'external') continue;
    const name = nameOf(entry);
    if (name === undefined) continue;
    if (names.has(name))
      problems.push({
        path: [...path],
        message: `expected every external backend under a name of its own (external.name), got ${JSON.stringify(name)} again`,
      });
    names.set(name, name);
    const proxy = proxyFor(entry.url, process.env);
    if (proxy.kind === 'bad')
      problems.push({ path: [...path], message: `cannot be reached: HTTPS_PROXY: ${proxy.problem}` });
  }
  return [...problems, ...ruleProblems(config, names)];
}

/** With backend openai there is nothing else. */
function fleetProblems(config: Config): CheckProblem[] {
  const problems: CheckProblem[] = [];
  const { type } = config.mode;
  if (type !== undefined && type !== 'openai')
    problems.push({
      path: ['mode', 'type'],
      message: `expected openai, or none, with backend openai, got ${type}`,
    });
  for (const [index, { worker_type: role }] of config.workers.entries())
    if (role !== 'external')
      problems.push({
        path: ['workers', index, 'worker_type'],
        message: 'expected external: with backend openai there are no others',
      });
  if (stageEntries(config).length > 0 || config.pd.discovery_address !== undefined)
    problems.push({
      path: ['backend'],
      message:
        'openai has no prefill and decode workers: leave them out, or register the provider as a worker of type external',
    });
  return problems;
}

/** Backends may be registered later, where there is somewhere for them to come from. */
function ruleProblems(config: Config, names: ReadonlyMap<string, PropertyKey>): CheckProblem[] {
  if (config.state_file !== undefined || config.enable_igw) return [];
  return config.model_rules.flatMap(({ external }, index) =>
    (typeof external === 'string' ? [external] : (external ?? []))
      .filter((name) => !names.has(name))
      .map((name) => ({
        path: ['model_rules', index, 'external'],
        message: `expected the name of an external backend, got ${JSON.stringify(name)}: a worker of type external has it`,
      })),
  );
}

/** A rule for a model that none of its backends has is a typing error more often than not. */
function idleRuleNotices(config: Config): string[] {
  const externals = placedEntries(config).flatMap(({ entry }) => traitsOf(entry) ?? []);
  return config.model_rules.flatMap(({ match, external }, index) => {
    if (external === undefined || match.endsWith('*')) return [];
    const named = typeof external === 'string' ? [external] : external;
    const backends = externals.filter(({ name }) => named.includes(name));
    const isKnown = backends.length === named.length;
    if (
      !isKnown ||
      backends.some(
        ({ models, fetchesModels: fetches }) =>
          fetches || models === undefined || Object.hasOwn(models, match),
      )
    )
      return [];
    return [
      `model_rules[${index}]: ${named.join(', ')} has no model ${JSON.stringify(match)} in external.models`,
    ];
  });
}

/** What is worth knowing at the start. */
export function externalNotices(config: Config): string[] {
  const notices: string[] = [];
  if (config.backend === 'trtllm' || config.backend === 'anthropic')
    notices.push(`backend: ${config.backend} is taken for vllm`);
  const refused = config.api_keys.filter((tenant) => !tenant.allow_external).map(({ name }) => name);
  if (isExternalOnly(config) && refused.length > 0)
    notices.push(
      `backend: openai serves nobody without allow_external: ${refused.slice(0, 8).join(', ')}${refused.length > 8 ? ', ...' : ''}`,
    );
  for (const { entry, path } of placedEntries(config)) {
    const url = entry.worker_type === 'external' ? URL.parse(entry.url) : null;
    if (url?.protocol === 'http:' && !/^(localhost|127\.|\[::1\])/.test(url.hostname))
      notices.push(`${shown(path)}: prompts and the key go to ${url.host} in the clear (http://)`);
  }
  return [...notices, ...idleRuleNotices(config)];
}

/** `workers[0]`, as problems name it. */
function shown([key, ...inner]: readonly PropertyKey[]): string {
  return (
    String(key) + inner.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  );
}

function nameOf(entry: WorkerEntry): string | undefined {
  return traitsOf(entry)?.name;
}

function traitsOf({ url, worker_type: role, external }: WorkerEntry): ExternalTraits | undefined {
  const parsed = role === 'external' ? parseWorkerUrl(url, urlOf(role)) : undefined;
  return parsed?.kind === 'ok' ? externalTraits(external, parsed.address.baseUrl) : undefined;
}
