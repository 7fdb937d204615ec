import { isDeepStrictEqual } from 'node:util';
import type { PdSettings, PdStage, PolicySettings, StagePolicy } from '../../config/settings/settings.ts';
import type { Policy } from '../../routing/policy.ts';

export type StageSettings = Pick<PdSettings, 'prefillPolicy' | 'decodePolicy' | 'policyNamed'>;

interface Instance {
  readonly settings: PolicySettings;
  readonly policy: Policy;
}

/** What holds for whole requests of a model. */
export interface WholePolicies {
  /** The model's own, where it has one. */
  readonly own: Instance | undefined;
  readonly default: Instance;
}

/** Who is to choose for the halves of a request; undefined: whoever does so for all. */
export type Halves = Readonly<Record<PdStage, Policy | 'pair_cost' | undefined>>;

const STAGES: readonly PdStage[] = ['prefill', 'decode'];

/**
 * The policies for the two halves of requests that are split. Each has a memory of its own, so that what was learnt of the
 * workers for one half is nothing for the other; models share an instance, since their pools have different keys.
 */
export class StagePolicies {
  readonly #create: (settings: PolicySettings, scope: string) => Instance;
  readonly #instances: Record<PdStage, Instance[]> = { prefill: [], decode: [] };
  #settings: StageSettings;
  readonly #switched = new Map<PdStage, StagePolicy>();
  #defaultNamed = false;

  constructor(settings: StageSettings, create: (settings: PolicySettings, scope: string) => Instance) {
    this.#settings = settings;
    this.#create = create;
  }

  /** Who chooses; undefined: the cost of pairs does. */
  policyFor(stage: PdStage, whole: WholePolicies): Policy | undefined {
    const settings = this.settingsFor(stage, whole);
    return settings.type === 'pair_cost' ? undefined : this.#instanceOf(stage, settings).policy;
  }

  /** The stage's own policy, else the model's, else the default one where it was named. */
  settingsFor(stage: PdStage, whole: WholePolicies): StagePolicy {
    return this.#own(stage) ?? whole.own?.settings ?? this.#default(whole) ?? PAIRS;
  }

  /** Another policy for each half that has none of its own. */
  trialHalves(trial: () => Policy): Halves {
    const of = (stage: PdStage): Policy | undefined => (this.#own(stage) ? undefined : trial());
    return { prefill: of('prefill'), decode: of('decode') };
  }

  /** The policy of one stage for all models; undefined: as configured. False, and nothing is touched, when it is that already. */
  switchTo(stage: PdStage, settings: StagePolicy | undefined): boolean {
    const before = this.#own(stage);
    if (settings === undefined) this.#switched.delete(stage);
    else this.#switched.set(stage, settings);
    return !isDeepStrictEqual(before, this.#own(stage));
  }

  /** The default policy has been named while the router runs: stages without one of their own follow it. */
  followDefault(): void {
    this.#defaultNamed = true;
  }

  /** Other settings: what was switched is undone, and a policy that is the same goes on as it is. */
  reconfigure(settings: StageSettings): void {
    this.#settings = settings;
    this.#switched.clear();
    this.#defaultNamed = false;
  }

  /** What chooses no more is forgotten. `followed`: the policies of whole requests. */
  dropUnused(followed: readonly PolicySettings[]): void {
    for (const stage of STAGES) {
      const wanted = [...followed, this.#own(stage)];
      this.#instances[stage] = this.#instances[stage].filter(({ settings }) =>
        wanted.some((one) => isDeepStrictEqual(one, settings)),
      );
    }
  }

  instances(): readonly Instance[] {
    return [...this.#instances.prefill, ...this.#instances.decode];
  }

  #own(stage: PdStage): StagePolicy | undefined {
    const { prefillPolicy, decodePolicy } = this.#settings;
    return this.#switched.get(stage) ?? (stage === 'prefill' ? prefillPolicy : decodePolicy);
  }

  #default(whole: WholePolicies): PolicySettings | undefined {
    return this.#defaultNamed || this.#settings.policyNamed ? whole.default.settings : undefined;
  }

  #instanceOf(stage: PdStage, settings: PolicySettings): Instance {
    const all = this.#instances[stage];
    // Mostly the very same object; else the same policy after a reload.
    const known =
      all.find((one) => one.settings === settings) ??
      all.find((one) => isDeepStrictEqual(one.settings, settings));
    if (known) return known;
    const made = this.#create(settings, stage);
    all.push(made);
    return made;
  }
}

const PAIRS: StagePolicy = { type: 'pair_cost' };
