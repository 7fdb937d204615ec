import type * as z from 'zod';
import { AdminError, type FieldProblem } from './admin-error.ts';

/** `labels.tier`, `workers[2].url`: what is wrong, in the words of the schema. */
export function fieldProblems(error: z.ZodError, root = ''): FieldProblem[] {
  return error.issues.flatMap((issue) => problemsOf(issue, root));
}

/** @throws AdminError INVALID_REQUEST with the path of every field that is wrong. */
export function validated<T extends z.ZodType>(schema: T, value: unknown, root: string): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(fieldProblems(parsed.error, root));
}

export function invalid(fields: readonly FieldProblem[]): AdminError {
  const text = fields.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
  return new AdminError('INVALID_REQUEST', text, { fields });
}

function problemsOf(issue: z.core.$ZodIssue, root: string): FieldProblem[] {
  const path = pathText(issue.path, root);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: pathText([...issue.path, key], root),
        message: 'unknown field',
      }));
    case 'invalid_key':
      return [{ path, message: `not a good name: ${messageOf(issue.issues[0])}` }];
    default:
      return [
        { path, message: messageOf(issue).replace(/^(expected .*), received undefined$/, 'missing, $1') },
      ];
  }
}

function messageOf(issue: { readonly message: string } | undefined): string {
  return (issue?.message ?? 'wrong')
    .replace(/^(Invalid input|Invalid option|Too big|Too small): /, '')
    .replace(/^expected record\b/, 'expected object');
}

function pathText(path: readonly PropertyKey[], root: string): string {
  let text = root;
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else text += (text === '' ? '' : '.') + String(segment);
  }
  return text;
}
