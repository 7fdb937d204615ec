import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Environment } from './env.ts';
import { unreadable } from './file.ts';
import { mapSecrets, mayHoldSecret, type SchemaNode } from './schema-node.ts';

/** What the references in a configuration lead to. */
export interface Surroundings {
  /** Undefined: texts are taken as they are. */
  readonly variables: Environment | undefined;
  /** Where relative paths begin. */
  readonly cwd: string;
  /** The configuration is only looked at, perhaps on another machine: what is not there is no problem. */
  readonly lenient: boolean;
}

/** A reference that leads nowhere. Never says what stands behind one. */
export interface ReferenceProblem {
  /** Below the key. */
  readonly inside: readonly PropertyKey[];
  readonly message: string;
  readonly unreadable: true | undefined;
}

export interface Dereferenced {
  readonly value: unknown;
  readonly problems: readonly ReferenceProblem[];
  /** Files that were read, or looked for: absolute paths. */
  readonly files: readonly string[];
}

type Found =
  | { readonly kind: 'ok'; readonly text: string }
  | { readonly kind: 'bad'; readonly message: string; readonly unreadable?: true };

/** Longer than any key; a device that never ends must not be read to its end. */
const MOST_BYTES = 64 * 1024;

/**
 * Puts what is referred to in the place of every secret of a key that is a reference: `${VAR}` anywhere in it, `$$` for a
 * dollar sign, `file:/path` for the content of a file without the newline at its end (variables in the path included).
 * @param node The key's part of the schema, which says where secrets stand.
 */
export function dereferenced(
  node: SchemaNode,
  value: unknown,
  { variables, cwd }: Surroundings,
): Dereferenced {
  const problems: ReferenceProblem[] = [];
  const files: string[] = [];
  if (variables === undefined || !mayHoldSecret(node)) return { value, problems, files };
  const replaced = mapSecrets(node, value, (text, inside) => {
    const found = lookUp(text, variables, cwd, files);
    if (found.kind === 'ok') return found.text;
    problems.push({ inside, message: found.message, unreadable: found.unreadable });
    return standIn(inside);
  });
  return { value: replaced, problems, files };
}

/** Has the form of a key of any kind, and no two are equal. */
function standIn(inside: readonly PropertyKey[]): string {
  return createHash('sha256').update(inside.map(String).join('.')).digest('hex');
}

function lookUp(text: string, variables: Environment, cwd: string, files: string[]): Found {
  const expanded = expand(text, variables);
  if (expanded.kind === 'bad' || !text.startsWith('file:')) return expanded;
  const path = expanded.text.slice('file:'.length);
  if (path === '') return { kind: 'bad', message: 'expected the path of a file behind file:' };
  files.push(resolve(cwd, path));
  // As it was written: a variable in it is nobody's business.
  return readSecret(resolve(cwd, path), text.slice('file:'.length));
}

function expand(text: string, variables: Environment): Found {
  let bad: string | undefined;
  const expanded = text.replace(/\$\$|\$\{([^}]*)(\}?)/g, (token, name = '', end = '') => {
    if (token === '$$') return '$';
    // What is no name may be the secret itself.
    if (end === '' || !/^[A-Za-z_]\w*$/.test(name))
      bad ??= 'expected the name of a variable in ${}; write $${ for a plain ${';
    const value = variables[name];
    // An empty variable counts as not set, as everywhere.
    if (value === undefined || value === '') bad ??= `the variable ${name} is not set`;
    return value ?? '';
  });
  return bad === undefined ? { kind: 'ok', text: expanded } : { kind: 'bad', message: bad };
}

function readSecret(path: string, shown: string): Found {
  const bytes = Buffer.alloc(MOST_BYTES + 1);
  let length = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read)
        read = readSync(file, bytes, length, bytes.length - length, null);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return {
      kind: 'bad',
      message: `the file ${shown} cannot be read: ${unreadable(error)}`,
      unreadable: true,
    };
  }
  if (length > MOST_BYTES)
    return { kind: 'bad', message: `the file ${shown} is larger than ${MOST_BYTES} bytes` };
  const text = bytes.toString('utf8', 0, length).replace(/(\r?\n)+$/, '');
  return text === '' ? { kind: 'bad', message: `the file ${shown} is empty` } : { kind: 'ok', text };
}
