import type { CheckProblem } from '../schema/check-problem.ts';
import {
  isPluginPolicy,
  pluginPolicyProblems,
  policyInForce,
  type KnownPlugins,
} from '../schema/plugin-policy-schema.ts';
import type { Config } from '../schema/schema.ts';
import type { WorkerEntry } from '../schema/worker-entry.ts';
import { isPairCost } from '../schema/stage-policy-schema.ts';
import { indexParameters, INDEX_DEFAULTS } from './index-parameters.ts';
import { PAIR_COST, type PdStage } from './pd-settings.ts';
import { stageEntries } from './pd-from-config.ts';

const STAGES = ['prefill', 'decode'] as const satisfies readonly PdStage[];

/** What is wrong about prefill and decode beyond the single keys. */
export function pdProblems(config: Config, plugins: KnownPlugins): CheckProblem[] {
  return [
    ...modeProblems(config),
    ...STAGES.flatMap((stage) => stagePolicyProblems(config, stage, plugins)),
    ...discoveryProblems(config),
  ];
}

/** What is right as long as workers come that are not named yet, and else not what was meant. */
export function pdNotices(config: Config): string[] {
  return countOf(config, 'prefill') > 0 ? [...stageNotices(config), ...untold(config)] : unused(config);
}

/** Workers for one half are in no pair where there are none for the other. */
function stageNotices(config: Config): string[] {
  if (countOf(config, 'decode') > 0 || mayCome(config)) return [];
  return ['prefill workers: they get no requests until a decode worker is registered'];
}

/** Workers that are in no pair, since the router is not told what their connector has to know. */
function untold(config: Config): string[] {
  const { pd, workers } = config;
  const all = [...stageEntries(config).map(({ entry }) => entry), ...workers];
  const lacks = (stage: PdStage, has: (entry: WorkerEntry) => boolean): boolean =>
    all.some((entry) => entry.worker_type === stage && !has(entry));
  const inNoPair = (stage: PdStage, key: string): string =>
    `pd.kv_connector: ${pd.kv_connector}: ${stage} workers without ${key} are in no pair`;
  switch (pd.kv_connector) {
    case 'nixl-push':
      return lacks('prefill', (entry) => entry.kv_transfer?.engine_id !== undefined)
        ? [inNoPair('prefill', 'kv_transfer.engine_id')]
        : [];
    case 'mooncake':
      return lacks('prefill', (entry) => typeof entry.bootstrap_port === 'number')
        ? [inNoPair('prefill', 'a bootstrap port')]
        : [];
    case 'lmcache':
      return [
        ...(lacks('decode', (entry) => entry.kv_transfer?.receiver !== undefined)
          ? [inNoPair('decode', 'kv_transfer.receiver')]
          : []),
        ...(pd.lmcache_notices === undefined
          ? [
              'pd.kv_connector: lmcache: without pd.lmcache_notices decode workers are asked before blocks have come',
            ]
          : []),
      ];
    default:
      return [];
  }
}

/** Keys that have no effect as long as there is no prefill worker. */
function unused(config: Config): string[] {
  if (mayCome(config)) return [];
  const given = [
    ...STAGES.filter((stage) => config[`${stage}_policy`] !== undefined).map((stage) => `${stage}_policy`),
    ...(config.pd.kv_connector === 'auto' ? [] : ['pd.kv_connector']),
    ...(config.pd.split === undefined ? [] : ['pd.split']),
    ...(config.pd.profile ? ['pd.profile'] : []),
  ];
  return given.map((name) => `${name}: without effect until a prefill worker is registered`);
}

function countOf(config: Config, stage: PdStage): number {
  return (
    stageEntries(config).filter(({ entry }) => entry.worker_type === stage).length +
    config.workers.filter((entry) => entry.worker_type === stage).length
  );
}

/** Whether workers may come of which the configuration says nothing. */
function mayCome({ pd, state_file: stateFile, enable_igw: gateway }: Config): boolean {
  return pd.discovery_address !== undefined || stateFile !== undefined || gateway;
}

function modeProblems(config: Config): CheckProblem[] {
  const { type } = config.mode;
  if (type === undefined || type === 'openai') return [];
  const path = ['mode', 'type'];
  const missing = STAGES.filter((stage) => countOf(config, stage) === 0);
  if (type === 'regular') {
    const there = STAGES.filter((stage) => !missing.includes(stage));
    if (there.length === 0) return [];
    const message = `regular has no ${there.join(' and ')} workers, of which there are some: leave it out`;
    return [{ path, message }];
  }
  if (missing.length === 0 || mayCome(config)) return [];
  const how = missing.map((stage) => `${stage}_urls (--${stage} URL)`).join(' and ');
  const message =
    `needs prefill and decode workers, and there are no ${missing.join(' and no ')} workers: ` +
    `give ${how}, workers with a worker_type, or pd.discovery_address (--vllm-discovery-address)`;
  return [{ path, message }];
}

function stagePolicyProblems(config: Config, stage: PdStage, plugins: KnownPlugins): CheckProblem[] {
  const name = `${stage}_policy` as const;
  const policy = config[name];
  if (policy === undefined || isPairCost(policy)) return [];
  const problems = pluginPolicyProblems(policy, plugins, [PAIR_COST]);
  return [
    ...problems.map(({ path, message }) => ({ path: [name, ...path], message })),
    ...indexProblems(config, stage),
  ];
}

/** The bounds of the index are given once; with a second policy they may be repeated. */
function indexProblems(config: Config, stage: PdStage): CheckProblem[] {
  const own = config[`${stage}_policy`];
  if (own === undefined || isPairCost(own) || isPluginPolicy(own) || !('max_tree_size' in own)) return [];
  const inForce = indexParameters(config);
  return (['max_tree_size', 'eviction_interval_secs'] as const).flatMap((name) => {
    if (own[name] === inForce[name] || own[name] === INDEX_DEFAULTS[name]) return [];
    const message = `the predicted index is one for all policies, and ${policyInForce(config).type} has it at ${inForce[name]}, got ${own[name]}`;
    return [{ path: [`${stage}_policy`, name], message }];
  });
}

function discoveryProblems({ pd }: Config): CheckProblem[] {
  const problems: CheckProblem[] = [];
  const { kv_connector: connector } = pd;
  if ((connector === 'moriio' || connector === 'p2p-nccl') && pd.discovery_address === undefined)
    problems.push({
      path: ['pd', 'kv_connector'],
      message: `${connector} requires pd.discovery_address (--vllm-discovery-address): its workers register themselves there`,
    });
  if (pd.discovery_allow.length > 0 && pd.discovery_address === undefined)
    problems.push({
      path: ['pd', 'discovery_allow'],
      message: 'has no effect without pd.discovery_address (--vllm-discovery-address)',
    });
  return problems;
}
