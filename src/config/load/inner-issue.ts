import type * as z from 'zod';

/** What is wrong with a part of a setting, in words that complete the name of the place. */
export interface InnerIssue {
  readonly issue: z.core.$ZodIssue;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Whether the value at `path` is what is wrong, so that showing it helps. */
  readonly quotes: boolean;
}

/** Where something may have several forms, the trouble with the form that was meant. */
export function innerIssue(issue: z.core.$ZodIssue, under: readonly PropertyKey[] = []): InnerIssue {
  const path = [...under, ...issue.path];
  if (issue.code === 'invalid_union') {
    const [meant] = issue.errors.find((branch) => !isOtherForm(branch)) ?? [];
    if (meant) return innerIssue(meant, path);
  }
  if (issue.code === 'unrecognized_keys') {
    const message = `unknown ${issue.keys.length > 1 ? 'keys' : 'key'} ${issue.keys.join(', ')}`;
    return { issue, path, message, quotes: false };
  }
  if (issue.code === 'invalid_key') {
    const message = `not a good name: ${issue.issues[0]?.message ?? 'wrong'}`;
    return { issue, path, message, quotes: false };
  }
  if (issue.code === 'invalid_value' && issue.values.length > 1)
    return { issue, path, message: `expected one of ${issue.values.map(String).join(', ')}`, quotes: true };
  const message = issue.message.replace(/^Invalid (input|option|string): |^Too (big|small): /, '');
  return { issue, path, message: message.replace(/, received \w+$/, ''), quotes: true };
}

function isOtherForm([first]: readonly z.core.$ZodIssue[]): boolean {
  return first === undefined || (first.code === 'invalid_type' && first.path.length === 0);
}
