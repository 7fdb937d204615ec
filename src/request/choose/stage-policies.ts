import { isDeepStrictEqual } from 'node:util';
import type { PdSettings, PdStage, PolicySettings } from '../../config/settings/settings.ts';
import type { Policy } from '../../routing/policy.ts';

const STAGES: readonly PdStage[] = ['prefill', 'decode'];

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

/**
 * The policies for the two halves of requests that are split. Each has a memory of its own, so that what was learnt of the
 * workers for one half is nothing for the other; models share an instance, since their pools have different keys.
 */
export class StagePolicies {
  readonly #create: (settings: PolicySettings, scope: string) => Instance;
  readonly #instances: Record<PdStage, Instance[]> = { prefill: [], decode: [] };
  #settings: StageSettings;

  constructor(settings: StageSettings, create: (settings: PolicySettings, scope: string) => Instance) {
    this.#settings = settings;
    this.#create = create;
  }

  /** The stage's own policy, else the model's, else the default one if it was named; undefined: none of these. */
  policyFor(stage: PdStage, whole: WholePolicies): Policy | undefined {
    const settings = this.#own(stage) ?? this.#followed(whole);
    return settings && this.#instanceOf(stage, settings).policy;
  }

  /** Other settings; a policy that is the same goes on as it is, once it has been asked for again. */
  reconfigure(settings: StageSettings): void {
    this.#settings = settings;
  }

  /** What chooses no more is forgotten. `wanted`: the policies of whole requests that a stage may follow. */
  dropUnused(wanted: readonly PolicySettings[]): void {
    for (const stage of STAGES) {
      const all = [...wanted, this.#own(stage)];
      this.#instances[stage] = this.#instances[stage].filter(({ settings }) =>
        all.some((one) => isDeepStrictEqual(one, settings)),
      );
    }
  }

  instances(): readonly Instance[] {
    return [...this.#instances.prefill, ...this.#instances.decode];
  }

  #own(stage: PdStage): PolicySettings | undefined {
    return stage === 'prefill' ? this.#settings.prefillPolicy : this.#settings.decodePolicy;
  }

  #followed(whole: WholePolicies): PolicySettings | undefined {
    return whole.own?.settings ?? (this.#settings.policyNamed ? whole.default.settings : undefined);
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
