import type { PolicySettings } from '../../config/settings/settings.ts';
import type { RegistryEvent, Roster } from '../../workers/roster.ts';
import type { Worker } from '../../workers/worker.ts';

const LABEL = 'policy';

/** What a worker's labels say about the policy of its models. */
export function hintOf({ traits }: Pick<Worker, 'traits'>): string | undefined {
  return traits.labels[LABEL];
}

const MOST_NAMES = 256;

/** The policies that workers ask for with `labels.policy`: of a model's workers the first registered one is heard. */
export class PolicyHints {
  readonly #registry: Roster;
  readonly #named: (name: string) => PolicySettings | undefined;
  /** Undefined for what is no policy: labels are free text, so this is bounded. */
  readonly #settings = new Map<string, PolicySettings | undefined>();
  #count = 0;

  constructor(registry: Roster, named: (name: string) => PolicySettings | undefined) {
    this.#registry = registry;
    this.#named = named;
    this.#count = registry.fleet.filter((worker) => hintOf(worker) !== undefined).length;
  }

  /** Whether any worker has one. */
  get any(): boolean {
    return this.#count > 0;
  }

  /** What has been asked for so far. */
  get settings(): readonly PolicySettings[] {
    return [...this.#settings.values()].filter((settings) => settings !== undefined);
  }

  changed({ type, worker }: RegistryEvent): void {
    if (type === 'traits')
      this.#count = this.#registry.fleet.filter((one) => hintOf(one) !== undefined).length;
    else if (hintOf(worker) === undefined) return;
    else if (type === 'joined') this.#count += 1;
    else if (type === 'left') this.#count -= 1;
  }

  of(model: string): PolicySettings | undefined {
    const hint = this.#heard(model)?.hint;
    return hint === undefined ? undefined : this.#settingsOf(hint);
  }

  /** An unknown policy, or another one than that of the model's first worker with a hint. */
  noticesOf(worker: Worker): readonly string[] {
    const hint = hintOf(worker);
    if (hint === undefined) return [];
    const unknown = this.noticesOfLabels(worker.traits.labels);
    if (unknown.length > 0) return unknown;
    return [...worker.models].flatMap((model) => {
      const heard = this.#heard(model);
      if (!heard || heard.hint === hint) return [];
      return [
        `labels.policy: ${hint} has no effect on ${model}: ${heard.worker.id} came first with ${heard.hint}`,
      ];
    });
  }

  noticesOfLabels(labels: Readonly<Record<string, string>>): readonly string[] {
    const hint = labels[LABEL];
    if (hint === undefined || this.#settingsOf(hint)) return [];
    return [
      `labels.policy: there is no policy ${JSON.stringify(hint.slice(0, 64))}; the label has no effect`,
    ];
  }

  #heard(model: string): { readonly worker: Worker; readonly hint: string } | undefined {
    const { members, listed } = this.#registry.membersFor(model);
    if (!listed || !this.any) return undefined;
    for (const worker of members) {
      const hint = hintOf(worker);
      if (hint !== undefined && this.#settingsOf(hint)) return { worker, hint };
    }
    return undefined;
  }

  #settingsOf(hint: string): PolicySettings | undefined {
    if (this.#settings.has(hint)) return this.#settings.get(hint);
    if (this.#settings.size >= MOST_NAMES) this.#settings.clear();
    const settings = this.#named(hint);
    this.#settings.set(hint, settings);
    return settings;
  }
}
