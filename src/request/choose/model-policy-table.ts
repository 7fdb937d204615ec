import type { ModelPolicy, PolicySettings } from '../../config/settings/settings.ts';

/** The configured policies of single models: an exact name goes before a wildcard, a longer wildcard before a shorter one. */
export class ModelPolicyTable {
  readonly #exact = new Map<string, PolicySettings>();
  readonly #wildcards: { readonly prefix: string; readonly policy: PolicySettings }[] = [];

  constructor(modelPolicies: readonly ModelPolicy[]) {
    for (const { model, policy } of modelPolicies) {
      if (model.endsWith('*')) this.#wildcards.push({ prefix: model.slice(0, -1), policy });
      else this.#exact.set(model, policy);
    }
    this.#wildcards.sort((left, right) => right.prefix.length - left.prefix.length);
  }

  get isEmpty(): boolean {
    return this.#exact.size === 0 && this.#wildcards.length === 0;
  }

  get settings(): readonly PolicySettings[] {
    return [...this.#exact.values(), ...this.#wildcards.map(({ policy }) => policy)];
  }

  of(model: string): PolicySettings | undefined {
    return this.#exact.get(model) ?? this.#wildcards.find(({ prefix }) => model.startsWith(prefix))?.policy;
  }
}
