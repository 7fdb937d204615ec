import { keyNamed, policyNames } from '../schema/keys.ts';
import { DEFAULT_POLICY } from '../schema/policy-schema.ts';
import { problemAt, type Entry, type Layer, type Problem } from './layer.ts';

export interface Merged {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly problems: readonly Problem[];
  readonly notices: readonly string[];
}

/**
 * Values of higher sources replace those of lower ones, lists and maps as a whole. A source that names another
 * policy than the sources below it drops their parameters; a parameter that the policy does not have is a problem, and
 * left out.
 */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const entries = new Map<string, Entry>();
  const problems: Problem[] = [];
  let policy: unknown;
  for (const layer of layers) {
    const named = layer.get('policy.type')?.value;
    if (named !== undefined && named !== policy) {
      for (const [name, { key }] of entries)
        // Below it stand parameters of another policy, or of no policy by name: then those that it has are its.
        if (key.policies && (policy !== undefined || !key.policies.some((owner) => owner === named)))
          entries.delete(name);
      policy = named;
    }
    for (const [name, entry] of layer) {
      entries.set(name, entry);
      if (policy === undefined) continue;
      const wrong = strange(name, entry, policy);
      problems.push(...wrong);
      if (wrong.length > 0) entries.delete(name);
    }
  }
  return policy === undefined ? withoutName(entries) : { entries, problems, notices: [] };
}

/** The parameters are those of the default policy, or else of the one policy that has them all. */
function withoutName(entries: Map<string, Entry>): Merged {
  const given = [...entries].filter(([, { key }]) => key.policies);
  const able = policyNames().filter((policy) => given.every(([, { key }]) => key.policies?.includes(policy)));
  const [only, ...others] = able;
  const type = keyNamed('policy.type');
  const [name, first] = given.find(([, { key }]) => !key.policies?.includes(DEFAULT_POLICY)) ?? [];
  if (name === undefined || !first || !type) return { entries, problems: [], notices: [] };
  if (only !== undefined && others.length === 0) {
    entries.set(type.name, { key: type, value: only, origin: () => first.origin() });
    const notice = `policy: ${only}, since only that one has ${name.replace('policy.', '')}; name it to be clear`;
    return { entries, problems: [], notices: [notice] };
  }
  const whose = `no policy is named, and the default, ${DEFAULT_POLICY},`;
  const problems: Problem[] = [];
  for (const [key, entry] of given) {
    const wrong = strange(key, entry, DEFAULT_POLICY, whose);
    problems.push(...wrong);
    if (wrong.length > 0) entries.delete(key);
  }
  return { entries, problems, notices: [] };
}

function strange(name: string, entry: Entry, policy: unknown, whose?: string): readonly Problem[] {
  const owners = entry.key.policies;
  if (!owners || owners.some((owner) => owner === policy)) return [];
  // A misspelt policy is reported by itself; its parameters cannot be judged.
  if (typeof policy !== 'string' || !policyNames().includes(policy)) return [];
  const have = owners.length > 1 ? 'have' : 'has';
  const who = whose ?? `the policy ${policy}`;
  return [
    problemAt(entry.origin(), name, `${who} has no such parameter (${owners.join(' and ')} ${have} it)`),
  ];
}
