import type { Environment } from './env.ts';
import type { Problem } from './layer.ts';

export interface EnvFile {
  /** As it was named. */
  readonly path: string;
  readonly variables: Environment;
  readonly problems: readonly Problem[];
}

/** Values in quotes may run over several lines; nothing but a comment stands behind the closing quote. */
const VALUE = /(?:"(?<double>[^"]*)"|'(?<single>[^']*)'|`(?<back>[^`]*)`|(?<bare>[^\s#"'`][^\n#]*)?)/.source;
const END = /[ \t]*(?:#[^\n]*)?(?:\n|$)/.source;
const LINE = new RegExp(
  `[ \\t]*(?:export[ \\t]+)?(?<name>[\\w.-]+)[ \\t]*=[ \\t]*${VALUE}${END}|${END}|(?<other>[^\\n]+\\n?)`,
  'gy',
);

/**
 * Reads `.env` files as dotenv does: comments, `export`, three kinds of quotes, CRLF, a byte order mark before it all.
 * A line that is neither empty nor a comment nor an assignment is a problem: what it was to set may be the key that clients
 * need. It is not quoted, since it may hold a secret.
 */
export function readEnvFile(text: string, path: string): EnvFile {
  const variables: Record<string, string> = Object.create(null) as Record<string, string>;
  const problems: Problem[] = [];
  let line = 1;
  for (const { 0: whole, groups = {} } of text
    .replace(/^\u{feff}/u, '')
    .replaceAll(/\r\n?/g, '\n')
    .matchAll(LINE)) {
    const { name, double, single, back, bare, other } = groups;
    if (name !== undefined) {
      variables[name] = double?.replaceAll('\\n', '\n') ?? single ?? back ?? bare?.trimEnd() ?? '';
    } else if (other !== undefined) {
      const message =
        'expected NAME=value, a comment or an empty line; quotes are closed, nothing stands behind them';
      problems.push({ at: `${path}:${line}`, message });
    }
    line += whole.split('\n').length - 1;
  }
  return { path, variables, problems };
}
