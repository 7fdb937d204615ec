import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Environment } from './env.ts';
import { systemReason } from '../../base/system-reason.ts';
import { mapSecrets, mayHoldSecret, type SchemaNode } from '../schema/schema-node.ts';

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

interface Found {
  /** With stand-ins in the place of what is not there. */
  readonly text: string;
  readonly bad?: string | undefined;
  readonly unreadable?: true;
}

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
    const found = lookUp(text, { variables, cwd, files, standIn: standIn(inside) });
    const { bad: message, unreadable } = found;
    if (message !== undefined) problems.push({ inside, message, unreadable });
    return found.text;
  });
  return { value: replaced, problems, files };
}

/** Has the form of a key of any kind, and no two are equal. */
function standIn(inside: readonly PropertyKey[]): string {
  return createHash('sha256').update(inside.map(String).join('.')).digest('hex');
}

interface LookUp {
  readonly variables: Environment;
  readonly cwd: string;
  readonly files: string[];
  readonly standIn: string;
}

function lookUp(text: string, { variables, cwd, files, standIn: instead }: LookUp): Found {
  const expanded = expand(text, variables, instead);
  if (!text.startsWith('file:')) return expanded;
  const path = expanded.text.slice('file:'.length);
  const bad = path === '' ? 'expected the path of a file behind file:' : expanded.bad;
  if (bad !== undefined) return { text: instead, bad };
  files.push(resolve(cwd, path));
  // Named as it was written: a variable in it is nobody's business.
  const found = readSecret(resolve(cwd, path), text.slice('file:'.length));
  return found.bad === undefined ? found : { ...found, text: instead };
}

function expand(text: string, variables: Environment, instead: string): Found {
  let bad: string | undefined;
  const expanded = text.replace(/\$\$|\$\{([^}]*)(\}?)/g, (token, name: string = '', end: string = '') => {
    if (token === '$$') return '$';
    // What is no name may be the secret itself.
    if (end === '' || !/^[A-Za-z_]\w*$/.test(name))
      bad ??= 'expected the name of a variable in ${}; write $${ for a plain ${';
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (value !== undefined && value !== '') return value;
    // An empty variable counts as not set, as everywhere.
    bad ??= `the variable ${name} is not set`;
    return instead;
  });
  return { text: expanded, bad };
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
    return { text: '', bad: `the file ${shown} cannot be read: ${systemReason(error)}`, unreadable: true };
  }
  if (length > MOST_BYTES) return { text: '', bad: `the file ${shown} is larger than ${MOST_BYTES} bytes` };
  const text = bytes.toString('utf8', 0, length).replace(/(\r?\n)+$/, '');
  return text === '' ? { text, bad: `the file ${shown} is empty` } : { text };
}
