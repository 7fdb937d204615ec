import { policyName, type Settings, type StagePolicy } from '../config/settings/settings.ts';

interface PdFacts {
  readonly kv_connector: string;
  readonly split: string;
  readonly prefill_policy: string;
  readonly decode_policy: string;
}

/** What holds for requests that are split, for the first line of the log; undefined where no worker is for one half alone. */
export function pdFacts({ pd, policy, workers }: Settings): PdFacts | undefined {
  const isSplit =
    workers.some(({ traits }) => traits.role === 'prefill' || traits.role === 'decode') ||
    pd.discovery !== undefined;
  if (!isSplit) return undefined;
  const others = pd.policyNamed ? policyName(policy) : 'pair_cost';
  return {
    kv_connector: pd.connector,
    split: pd.split.kind === 'threshold' ? `from ${pd.split.tokens} tokens on` : pd.split.kind,
    prefill_policy: nameOf(pd.prefillPolicy) ?? others,
    decode_policy: nameOf(pd.decodePolicy) ?? others,
  };
}

function nameOf(policy: StagePolicy | undefined): string | undefined {
  return policy?.type === 'pair_cost' ? policy.type : policy && policyName(policy);
}
