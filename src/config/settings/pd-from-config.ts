import { isDeepStrictEqual } from 'node:util';
import type { AnyPolicyConfig, KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { policySchema } from '../schema/policy-schema.ts';
import type { Config } from '../schema/schema.ts';
import { isPairCost } from '../schema/stage-policy-schema.ts';
import type { WorkerEntry } from '../schema/worker-entry.ts';
import { ms } from './ms.ts';
import { PAIR_COST, type PdSettings, type SplitSettings, type StagePolicy } from './pd-settings.ts';
import { policyDefaults, policySettings } from './policy-settings.ts';

type Stage = 'prefill' | 'decode';

/** Compiles how requests are split. */
export function pdSettings(config: Config, plugins: KnownPlugins): PdSettings {
  const { pd } = config;
  return {
    // Files and flags of this mode come from routers that know no other way.
    connector:
      pd.kv_connector === 'auto' && config.mode.type === 'prefill_decode' ? 'sglang' : pd.kv_connector,
    split: splitSettings(config),
    fallback: pd.fallback,
    clientParams: pd.client_params,
    prefillTimeoutMs: ms(pd.prefill_timeout_secs),
    decodeTimeoutMs: ms(pd.decode_timeout_secs),
    maxPrefillsPerWorker: pd.max_prefills_per_worker,
    maxTransfersPerPair: pd.max_transfers_per_pair,
    prefillPolicy: stagePolicy(config, 'prefill', plugins),
    decodePolicy: stagePolicy(config, 'decode', plugins),
    policyNamed: config.policy !== undefined,
    profile: pd.profile,
    profileTimeoutMs: ms(pd.profile_timeout_secs),
    discovery:
      pd.discovery_address === undefined
        ? undefined
        : { address: hostAndPort(pd.discovery_address), allow: pd.discovery_allow },
    notices: {
      address: pd.lmcache_notices === undefined ? undefined : hostAndPort(pd.lmcache_notices),
      timeoutMs: ms(pd.lmcache_notice_timeout_secs),
    },
  };
}

function hostAndPort(address: string): string {
  return address.replace(/^tcp:\/\//, '');
}

/** The worker entries that `prefill_urls` and `decode_urls` stand for, and where they stand. */
export function stageEntries({
  prefill_urls: prefills,
  decode_urls: decodes,
}: Pick<Config, 'prefill_urls' | 'decode_urls'>): readonly {
  readonly entry: WorkerEntry;
  readonly path: readonly PropertyKey[];
}[] {
  return [
    ...prefills.map((entry, index) => ({
      entry: { ...entry, worker_type: 'prefill' as const },
      path: ['prefill_urls', index],
    })),
    ...decodes.map((url, index) => ({
      entry: { url, worker_type: 'decode' as const },
      path: ['decode_urls', index],
    })),
  ];
}

/** Whether a policy was named for the stage, by itself or through `policy`: then requests are split as other routers do. */
function isNamed(config: Config, stage: Stage): boolean {
  const own = config[`${stage}_policy`] ?? config.policy;
  return own !== undefined && !isPairCost(own);
}

function splitSettings(config: Config): SplitSettings {
  const { split } = config.pd;
  if (typeof split === 'number') return { kind: 'threshold', tokens: split };
  const named = isNamed(config, 'prefill') || isNamed(config, 'decode');
  return { kind: split ?? (named ? 'always' : 'auto') };
}

function stagePolicy(config: Config, stage: Stage, plugins: KnownPlugins): StagePolicy | undefined {
  const own = config[`${stage}_policy`];
  if (own === undefined) return undefined;
  if (isPairCost(own)) return { type: PAIR_COST };
  return policySettings(withParameters(own, config.policy), policyDefaults(config), plugins);
}

/** Where no more than its name is said of the policy, and `policy` is the same one, its parameters hold: flags have one set for all. */
function withParameters(own: AnyPolicyConfig, policy: AnyPolicyConfig | undefined): AnyPolicyConfig {
  const plain = policySchema.safeParse({ type: own.type });
  return policy?.type === own.type && plain.success && isDeepStrictEqual(own, plain.data) ? policy : own;
}
