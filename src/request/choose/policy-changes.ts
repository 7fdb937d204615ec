/** Who said which policy a model has. */
export type PolicySource = 'admin' | 'config' | 'label' | 'default';

/** A model with a policy of its own. */
export interface OwnPolicy {
  readonly model: string;
  readonly policy: string;
  readonly source: PolicySource;
}

/** What became another policy; `model` undefined: the default one. */
export interface PolicyChange {
  readonly model: string | undefined;
  readonly from: string;
  readonly to: string;
}

/** Which policies choose. */
export interface PolicyNames {
  readonly default: string;
  /** Of the models that have their own. */
  readonly own: ReadonlyMap<string, string>;
}

/** What another configuration has changed. */
export function policyChanges(before: PolicyNames, after: PolicyNames): readonly PolicyChange[] {
  const changes: PolicyChange[] = [];
  if (before.default !== after.default)
    changes.push({ model: undefined, from: before.default, to: after.default });
  for (const model of new Set([...before.own.keys(), ...after.own.keys()])) {
    const from = before.own.get(model) ?? before.default;
    const to = after.own.get(model) ?? after.default;
    if (from !== to) changes.push({ model, from, to });
  }
  return changes;
}
