import { isDeepStrictEqual } from 'node:util';
import type { ReloadChange, ReloadReport } from '../admin/reload-report.ts';
import { configChanges, type KeyChange } from '../config/reload/changes.ts';
import type { Config } from '../config/schema/schema.ts';
import type { PolicySettings, Settings } from '../config/settings/settings.ts';
import type { Policy } from '../routing/policy.ts';
import { idsOf, type WorkerChanges } from './worker-changes.ts';

/** The policies in use; `Policies` is one. */
export interface PoliciesView {
  /** Of the default one. */
  readonly settings: PolicySettings;
  readonly default: Policy;
  /** Models whose policy was switched while the router runs. */
  readonly switched: ReadonlyMap<string, PolicySettings>;
  /** A policy that is only looked at. */
  trial(settings: PolicySettings): Policy;
}

export interface ReportInput {
  /** In force. */
  readonly before: { readonly config: Config; readonly settings: Settings };
  /** As it was read, with what waits for a restart. */
  readonly after: Config;
  /** What would be in force. */
  readonly settings: Settings;
  readonly policies: PoliciesView;
  readonly workers: WorkerChanges;
  readonly notices: readonly string[];
  readonly dryRun: boolean;
}

/** What becomes of every difference, before anything has been done. */
export function reportOf(input: ReportInput): ReloadReport {
  const { workers } = input;
  const defaults = input.settings.workerDefaults;
  const changes = changesOf(input);
  const kept = workers.keep.map(({ spec }) => spec);
  const lists = {
    workersAdded: idsOf([...workers.join, ...kept], defaults),
    workersDrained: idsOf(
      workers.retire.map(({ spec }) => spec),
      defaults,
    ),
    workersUpdated: idsOf(
      workers.respec.map(({ spec }) => spec),
      defaults,
    ),
  };
  return { text: textOf({ ...lists, changes }, input.dryRun), ...lists, changes, notices: input.notices };
}

function changesOf(input: ReportInput): ReloadChange[] {
  const { before, after, policies, workers } = input;
  const changes = configChanges(before.config, after);
  const own = changes.filter(({ key }) => POLICY_KEY.test(key));
  // Where it is another policy, the parameters of the former one are gone with it.
  const replaced = own.some(({ key }) => key === 'policy.type');
  const told = replaced ? changes.filter((change) => !own.includes(change)) : changes;
  return [
    ...told.flatMap((change) => plainChange(change, workers)),
    ...contentChanges(input, changes),
    ...policyChange(own, input),
    ...switchedBack(policies),
  ];
}

/** What lies in files of its own may change while the configuration says the same. */
const CONTENTS: readonly {
  /** The keys that name the files. */
  readonly keys: RegExp;
  readonly key: string;
  readonly of: (settings: Settings) => unknown;
  readonly change: Pick<ReloadChange, 'how' | 'detail'>;
}[] = [
  {
    ...{ keys: /^ssl_/, key: 'ssl_certfile', of: ({ listen }) => listen.tls },
    change: { how: 'applied', detail: 'its files have changed; connections from now on get what is in them' },
  },
  {
    ...{ keys: /^worker_tls/, key: 'worker_tls', of: ({ workerTls }) => workerTls },
    change: { how: 'applied', detail: 'its files have changed; connections from now on use what is in them' },
  },
  {
    ...{ keys: /^api_keys$/, key: 'api_keys', of: ({ clients }) => clients.auth },
    change: { how: 'adopted', detail: 'the keys in its files have changed; tenants keep what was counted' },
  },
];

function contentChanges({ before, settings }: ReportInput, changes: readonly KeyChange[]): ReloadChange[] {
  return CONTENTS.flatMap(({ keys, key, of, change }) => {
    if (changes.some((one) => keys.test(one.key) && one.effect !== 'restart_needed')) return [];
    return isDeepStrictEqual(of(before.settings), of(settings)) ? [] : [{ key, ...change }];
  });
}

/** They say nothing without each other and are told as one. */
const POLICY_KEY = /^policy\./;

function plainChange({ key, effect, detail }: KeyChange, workers: WorkerChanges): ReloadChange[] {
  switch (effect) {
    case 'workers': {
      const { join, keep, retire, respec } = workers;
      const counts = `${join.length + keep.length} added, ${retire.length} drained, ${respec.length} updated in place`;
      // Workers that stay keep their place, and with it what is known of them.
      return [{ key, how: 'adopted', detail: `${detail}; ${counts}` }];
    }
    case 'policy':
      return POLICY_KEY.test(key) ? [] : [{ key, how: 'reset', detail }];
    case 'applied':
    case 'adopted':
    case 'restart_needed':
      return [{ key, how: effect, detail }];
  }
}

/** The default policy. */
function policyChange(
  changed: readonly KeyChange[],
  { before, settings, policies }: ReportInput,
): ReloadChange[] {
  if (isDeepStrictEqual(policies.settings, settings.policy)) return [];
  const current = policies.default;
  const parts = differences(changed);
  if (!isDeepStrictEqual(policies.settings, before.settings.policy))
    parts.push(`the configured policy is back: it had been switched to ${current.name}`);
  // Of a plugin's own parameters nothing is known but that they differ.
  if (parts.length === 0) parts.push(`${current.name} has other parameters`);
  parts.push('pinned sessions, turns and the order of cold prompts begin anew');
  const { cache } = policies.trial(settings.policy).needs;
  if (current.needs.cache) parts.push(`the predicted index is ${cache ? 'adopted' : 'dropped'}`);
  return [{ key: 'policy', how: 'reset', detail: parts.join('; ') }];
}

/** Where it is another policy, its parameters are no change of the former one's. */
function differences(changed: readonly KeyChange[]): string[] {
  const own = changed.filter(({ effect }) => effect === 'policy');
  const type = own.filter(({ key }) => key === 'policy.type');
  return (type.length > 0 ? type : own).map(({ key, detail }) => `${key.slice('policy.'.length)} ${detail}`);
}

function switchedBack({ switched }: PoliciesView): ReloadChange[] {
  if (switched.size === 0) return [];
  const models = [...switched.keys()].slice(0, 20).join(', ');
  return [
    { key: 'policy', how: 'reset', detail: `these models had been switched and get theirs back: ${models}` },
  ];
}

function textOf(
  report: Pick<ReloadReport, 'workersAdded' | 'workersDrained' | 'workersUpdated' | 'changes'>,
  dryRun: boolean,
): string {
  const parts = [
    count(report.workersAdded, 'worker', 'added'),
    count(report.workersDrained, 'worker', 'drained'),
    count(report.workersUpdated, 'worker', 'updated'),
    ...(['applied', 'adopted', 'reset', 'restart_needed'] as const).map((how) =>
      keys(report.changes, how, how === 'restart_needed' ? 'not in force before a restart' : how),
    ),
  ].filter((part) => part !== undefined);
  if (parts.length === 0) return dryRun ? 'nothing would change' : 'nothing has changed';
  return `${dryRun ? 'would change: ' : ''}${parts.join('; ')}`;
}

function count(list: readonly string[], what: string, done: string): string | undefined {
  if (list.length === 0) return undefined;
  return `${list.length} ${what}${list.length > 1 ? 's' : ''} ${done}`;
}

function keys(changes: readonly ReloadChange[], how: ReloadChange['how'], words: string): string | undefined {
  const names = changes.filter((change) => change.how === how).map(({ key }) => key);
  return names.length === 0 ? undefined : `${words}: ${names.join(', ')}`;
}
