import { isDeepStrictEqual } from 'node:util';
import type { OverrunCells } from '../../base/overruns.ts';
import type { Random } from '../../base/random.ts';
import type { CacheIndex } from '../../cache-knowledge/cache-index.ts';
import {
  policyName,
  type ModelPolicy,
  type PdStage,
  type PolicySettings,
  type StagePolicy,
} from '../../config/settings/settings.ts';
import { CacheCapacities } from '../../cache-knowledge/cache-capacities.ts';
import { PairChooser } from '../../routing/pair-chooser.ts';
import { createPolicy, type OnPluginTrouble } from '../../routing/policies/index.ts';
import type { CacheView, OccupancyView, Policy, PolicyShare, PrefixHints } from '../../routing/policy.ts';
import type { RegistryEvent } from '../../workers/roster.ts';
import type { Worker } from '../../workers/worker.ts';
import { ModelPolicyTable } from './model-policy-table.ts';
import {
  policyChanges,
  type OwnPolicy,
  type PolicyChange,
  type PolicyNames,
  type PolicySource,
} from './policy-changes.ts';
import { asksLmcache, PolicyCaches, usesIndex, type PolicyCachesDeps } from './policy-caches.ts';
import { hintOf, PolicyHints } from './policy-hints.ts';
import { StagePolicies, type Halves, type StageSettings } from './stage-policies.ts';

export interface PoliciesSettings {
  /** For every model without one of its own. */
  readonly policy: PolicySettings;
  readonly modelPolicies: readonly ModelPolicy[];
  readonly pd: StageSettings;
}

export interface PoliciesDeps extends PolicyCachesDeps {
  readonly random: Random;
  /** What LMCache's controller says, told whether a policy needs it. */
  readonly lmcache?: OccupancyView & { wantedByPolicy: boolean };
  /** What the instance of this scope has in common with those in other threads, where there are any. */
  readonly shareFor?: (scope: string) => PolicyShare;
  /** Of the table of beginnings that routers share, as long as there is one. */
  readonly prefixesFor?: (scope: string) => PrefixHints | undefined;
  /** The policy of that name with its defaults, for a worker's `labels.policy`; undefined where there is none. */
  readonly named: (name: string) => PolicySettings | undefined;
  /** Told what is wrong with a worker's hint. */
  readonly onNotice?: (worker: Worker, notice: string) => void;
  readonly onPluginTrouble?: OnPluginTrouble;
  readonly overruns?: OverrunCells;
}

interface Instance {
  readonly settings: PolicySettings;
  readonly policy: Policy;
}

interface Wanted {
  readonly settings: PolicySettings;
  readonly source: PolicySource;
}

interface Entry {
  /** Undefined: the default one. */
  readonly instance: Instance | undefined;
  /** The state of workers and settings that it was looked up in. */
  version: number;
}

/** Whom an instance serves, beside those of single models. */
const DEFAULT_SCOPE = 'default';
const SHARED_SCOPE = 'unlisted';
const PAIRS_SCOPE = 'pairs';
/** They know of caches what this policy would. */
const PAIRS_GO_BY: PolicySettings = { type: 'least_work', theta: 0 };

/** Models above this share one instance per policy with others. */
const MOST_INSTANCES = 1000;

/**
 * The policies that new requests get: the default one, and one for each model that has its own, by `PUT /admin/policy`,
 * else by the configuration, else by the `policy` label of its workers. They can be switched while the router runs.
 *
 * One predicted index serves all of them; it is kept as long as one of them looks at it. Whatever else a policy has learnt
 * (pinned sessions, turns) begins anew with its successor; the same policy with the same parameters has no successor.
 */
export class Policies {
  readonly #deps: PoliciesDeps;
  readonly #hints: PolicyHints;
  readonly #caches: PolicyCaches;
  readonly #overrides = new Map<string, PolicySettings>();
  /** By listed model. */
  readonly #entries = new Map<string, Entry>();
  /** For models beyond the bound and for names that nobody lists, one per policy. */
  #shared: Instance[] = [];
  readonly #stages: StagePolicies;
  readonly #capacities: CacheCapacities;
  #pairs: PairChooser | undefined;
  #configured: ModelPolicyTable;
  #default: Instance;
  #version = 0;
  /** Whether any model may have a policy of its own. */
  #several = false;

  constructor(settings: PoliciesSettings, deps: PoliciesDeps) {
    this.#deps = deps;
    this.#caches = new PolicyCaches(deps);
    this.#hints = new PolicyHints(deps.registry, deps.named);
    this.#configured = new ModelPolicyTable(settings.modelPolicies);
    this.#default = this.#create(settings.policy, DEFAULT_SCOPE);
    this.#capacities = new CacheCapacities(deps.registry);
    this.#stages = new StagePolicies(settings.pd, (one, scope) => this.#create(one, scope));
    this.#changed();
    deps.registry.onFleet((event) => {
      this.#onEvent(event);
    });
  }

  /** The policy of models without their own. */
  get default(): Policy {
    return this.#default.policy;
  }

  /** Settings of the default policy. */
  get settings(): PolicySettings {
    return this.#default.settings;
  }

  /** Kept only for policies that need it. */
  get index(): CacheIndex | undefined {
    return this.#caches.index;
  }

  /** A request has failed on the worker in the slot: what was sent there just now may never be computed. */
  failedOn(slot: number): void {
    this.#caches.failedOn(slot);
  }

  /** Tokens of a block of the worker in the slot: what its chain of tokens is cut into. */
  blockSizeOf(slot: number): number {
    return this.#caches.blockSizeOf(slot);
  }

  /** Whether the model may make a difference to the policy. */
  get several(): boolean {
    return this.#several;
  }

  policyFor(model: string): Policy {
    return (this.#ownOf(model) ?? this.#default).policy;
  }

  /** Who chooses the worker for one half of a request that is split; undefined: the cost of pairs does. */
  stage(stage: PdStage, model: string): Policy | undefined {
    return this.#stages.policyFor(stage, { own: this.#ownOf(model), default: this.#default });
  }

  /** Who chooses pairs, and whether requests go through them. */
  get pairs(): PairChooser {
    return (this.#pairs ??= this.#openPairs());
  }

  /** What decides for one half of requests without a model of their own policy. */
  stageSettings(stage: PdStage): StagePolicy {
    return this.#stages.settingsFor(stage, { own: undefined, default: this.#default });
  }

  /** The policy of one half, for all models; undefined: as configured. False, and nothing is touched, when it is that already. */
  switchStage(stage: PdStage, settings: StagePolicy | undefined): boolean {
    const changed = this.#stages.switchTo(stage, settings);
    if (changed) this.#dropUnused();
    return changed;
  }

  /** Models with a policy of their own, as far as workers list them; at most `limit`. */
  own(limit = MOST_INSTANCES): readonly OwnPolicy[] {
    if (!this.#several) return [];
    const found: OwnPolicy[] = [];
    for (const model of this.#deps.registry.models) {
      const wanted = this.#wanted(model);
      if (!wanted) continue;
      found.push({ model, policy: policyName(wanted.settings), source: wanted.source });
      if (found.length === limit) break;
    }
    return found;
  }

  /** False, and nothing is touched, when that is the policy already: of the model, or the default one. */
  switchTo(settings: PolicySettings, model?: string): boolean {
    const before = model === undefined ? this.#default : this.#lookUp(model);
    const same = before !== undefined && isDeepStrictEqual(settings, before.settings);
    if (model !== undefined) {
      this.#overrides.set(model, settings);
      this.#changed();
    } else {
      this.#stages.followDefault();
      if (!same) this.#default = this.#create(settings, DEFAULT_SCOPE);
    }
    if (same) return false;
    if (model !== undefined) this.#lookUp(model);
    this.#dropUnused();
    return true;
  }

  /** The model gets the policy back that it would have without `switchTo`. False when it had no other. */
  switchBack(model: string): boolean {
    if (!this.#overrides.delete(model)) return false;
    this.#changed();
    this.#lookUp(model);
    this.#dropUnused();
    return true;
  }

  /** Models whose policy was switched while the router runs. */
  get switched(): ReadonlyMap<string, PolicySettings> {
    return this.#overrides;
  }

  /** What is wrong with the worker's hint, if anything. */
  noticesOf(worker: Worker): readonly string[] {
    return this.#hints.noticesOf(worker);
  }

  /** The same before there is a worker. */
  noticesOfLabels(labels: Readonly<Record<string, string>>): readonly string[] {
    return this.#hints.noticesOfLabels(labels);
  }

  /** A policy for one look: it sees the real loads and the index as it is, and has no memory of its own yet. */
  trial(settings: PolicySettings): Policy {
    return createPolicy(settings, { ...this.#deps, cache: this.#caches.glance(settings) });
  }

  /** The same for the halves of requests that are split. */
  trialHalves(settings: PolicySettings): Halves {
    return this.#stages.trialHalves(() => this.trial(settings));
  }

  /** Other settings: what was switched while it ran is undone, and a policy that is the same goes on as it is. */
  reconfigure(settings: PoliciesSettings): readonly PolicyChange[] {
    const before = this.#names();
    if (!isDeepStrictEqual(settings.policy, this.#default.settings))
      this.#default = this.#create(settings.policy, DEFAULT_SCOPE);
    this.#overrides.clear();
    this.#configured = new ModelPolicyTable(settings.modelPolicies);
    this.#stages.reconfigure(settings.pd);
    this.#changed();
    for (const model of this.#entries.keys()) this.#lookUp(model);
    this.#dropUnused();
    return policyChanges(before, this.#names());
  }

  #names(): PolicyNames {
    const own = new Map(this.own().map(({ model, policy }) => [model, policy]));
    return { default: this.default.name, own };
  }

  #openPairs(): PairChooser {
    return new PairChooser({
      loads: this.#deps.loads,
      cache: this.#caches.viewFor(PAIRS_GO_BY),
      capacityOf: (slot) => this.#capacities.of(slot),
      ...(this.#deps.shareFor && { share: this.#deps.shareFor(PAIRS_SCOPE) }),
    });
  }

  #onEvent(event: RegistryEvent): void {
    switch (event.type) {
      case 'joined':
      case 'traits':
      case 'models':
      case 'left':
        break;
      default:
        return;
    }
    // Whatever looks at the index in other threads, it is there from then on.
    if (event.type === 'joined' && event.worker.traits.role === 'prefill') this.#pairs ??= this.#openPairs();
    if (event.type === 'left') {
      const left = { type: 'left', slot: event.worker.slot } as const;
      for (const { policy } of this.#instances()) policy.observe?.(left);
      this.#pairs?.observe(left);
    }
    this.#hints.changed(event);
    this.#changed();
    if (event.type === 'left' || event.type === 'models') this.#dropGone();
    if (event.type === 'left' || hintOf(event.worker) === undefined) return;
    for (const notice of this.noticesOf(event.worker)) this.#deps.onNotice?.(event.worker, notice);
  }

  #ownOf(model: string): Instance | undefined {
    if (!this.#several) return undefined;
    const entry = this.#entries.get(model);
    return entry?.version === this.#version ? entry.instance : this.#lookUp(model);
  }

  #changed(): void {
    this.#version += 1;
    this.#several = this.#overrides.size > 0 || !this.#configured.isEmpty || this.#hints.any;
  }

  #wanted(model: string): Wanted | undefined {
    if (model === '') return undefined;
    const override = this.#overrides.get(model);
    if (override) return { settings: override, source: 'admin' };
    const configured = this.#configured.of(model);
    if (configured) return { settings: configured, source: 'config' };
    const hinted = this.#hints.of(model);
    return hinted && { settings: hinted, source: 'label' };
  }

  /** The model's own instance, kept where it is still the right one; undefined = the default one. */
  #lookUp(model: string): Instance | undefined {
    const wanted = this.#wanted(model);
    const { registry } = this.#deps;
    const known = this.#entries.get(model);
    const listed = registry.membersFor(model).listed;
    const room = known !== undefined || this.#entries.size < MOST_INSTANCES;
    if (!listed || !room) return wanted && this.#sharedFor(wanted.settings);
    const kept = wanted && known?.instance && isDeepStrictEqual(known.instance.settings, wanted.settings);
    const instance = kept ? known.instance : wanted && this.#create(wanted.settings, `of ${model}`);
    this.#entries.set(model, { instance, version: this.#version });
    return instance;
  }

  #sharedFor(settings: PolicySettings): Instance {
    const known = this.#shared.find((instance) => isDeepStrictEqual(instance.settings, settings));
    if (known) return known;
    const instance = this.#create(settings, SHARED_SCOPE);
    this.#shared.push(instance);
    return instance;
  }

  /** Models that nobody lists any more take their policy's memory with them. */
  #dropGone(): void {
    const { registry } = this.#deps;
    let dropped = false;
    for (const [model, { instance }] of this.#entries) {
      if (registry.membersFor(model).listed) continue;
      this.#entries.delete(model);
      dropped ||= instance !== undefined;
    }
    if (dropped) this.#dropUnused();
  }

  #dropUnused(): void {
    const wanted = [...this.#overrides.values(), ...this.#configured.settings, ...this.#hints.settings];
    this.#shared = this.#shared.filter(({ settings }) =>
      wanted.some((one) => isDeepStrictEqual(one, settings)),
    );
    this.#stages.dropUnused([...wanted, this.#default.settings]);
    this.#noteLmcache();
    const isUsed = ({ policy, settings }: Instance): boolean => policy.needs.cache && usesIndex(settings);
    if (!this.#pairs && ![...this.#instances()].some(isUsed)) this.#caches.close();
  }

  #noteLmcache(): void {
    const { lmcache } = this.#deps;
    if (lmcache) lmcache.wantedByPolicy = [...this.#instances()].some(({ policy }) => asksLmcache(policy));
  }

  *#instances(): Generator<Instance> {
    yield this.#default;
    for (const { instance } of this.#entries.values()) if (instance) yield instance;
    yield* this.#shared;
    yield* this.#stages.instances();
  }

  #create(settings: PolicySettings, scope: string): Instance {
    const { loads, clock, random } = this.#deps;
    const viewOf = (): CacheView => this.#caches.viewFor(settings);
    const deps = {
      ...{ loads, clock, random },
      ...(this.#deps.shareFor && { share: this.#deps.shareFor(`${policyName(settings)} ${scope}`) }),
      lmcache: this.#deps.lmcache,
      prefixes: this.#deps.prefixesFor?.(scope),
      // Made for the policy that takes it; the others do without its memory.
      get cache() {
        return viewOf();
      },
    };
    const policy = createPolicy(settings, deps, this.#deps.onPluginTrouble, this.#deps.overruns);
    if (asksLmcache(policy) && this.#deps.lmcache) this.#deps.lmcache.wantedByPolicy = true;
    return { settings, policy };
  }
}
