/**
 * Imports point downwards only. This walks every import of src/ and fails on an upward edge, on an edge between
 * folders of one row, on a cycle, on a package that is not a dependency, and on sockets or files in the pure parts.
 */
import assert from 'node:assert/strict';
import { readFileSync, globSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, resolve, sep } from 'node:path';
import { describe, it } from 'node:test';
import ts from 'typescript';

const ROOT = resolve(import.meta.dirname, '..');

/** From the top down. A folder may import from rows below its own, and from itself. */
const ROWS: readonly (readonly string[])[] = [
  ['main.ts', 'index.ts'],
  ['commands'],
  ['router.ts'],
  ['threads'],
  ['warm-up', 'collector'],
  ['app.ts'],
  ['app', 'replay'],
  ['simulate'],
  ['request', 'admin', 'decisions', 'sim', 'plugins'],
  ['doctor'],
  ['shared-state'],
  ['cache-knowledge'],
  ['routing', 'engines', 'semantic', 'response-cache', 'hooks', 'limits', 'discovery'],
  ['workers', 'tokenize'],
  ['api'],
  ['helper-threads', 'redis'],
  ['config', 'observe', 'http', 'report'],
  ['http1', 'zmtp'],
  ['base'],
];

/**
 * The words of the whole house, types and a few constants: every part may import them. They themselves import nothing
 * that runs but base/ and each other.
 */
const VOCABULARY = [
  'src/routing/policy.ts',
  'src/routing/blocks.ts',
  'src/request/record/decision.ts',
  'src/config/settings/settings.ts',
  'src/config/settings/policy-parameters.ts',
  'src/plugins/plugin.ts',
];

/** No sockets, files or timers of their own: a clock, random numbers and whatever talks to a worker are handed in. */
const PURE = ['src/routing', 'src/workers', 'src/cache-knowledge', 'src/limits', 'src/shared-state'];
const IMPURE_BUILTINS =
  /^node:(net|http|https|http2|tls|dgram|dns|fs|child_process|cluster|worker_threads|timers)(\/|$)/;

interface Import {
  /** Path from the root, e.g. `src/workers/worker.ts`. */
  readonly from: string;
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** Path from the root where the specifier is relative. */
  readonly to: string | undefined;
  readonly typeOnly: boolean;
}

function importsOf(path: string, text = readFileSync(join(ROOT, path), 'utf8')): Import[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const line = file.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    const isRelative = specifier.text.startsWith('.');
    const to = isRelative ? join(dirname(path), specifier.text).split(sep).join('/') : undefined;
    found.push({ from: path, line, specifier: specifier.text, to, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node, node.argument.literal, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function partOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function rowOf(path: string): number {
  return ROWS.findIndex((row) => row.includes(partOf(path)));
}

/** Why an import is not allowed, or undefined. */
function objection(edge: Import): string | undefined {
  if (edge.to === undefined) return undefined;
  if (!edge.to.startsWith('src/')) return 'leaves src/';
  if (/\.test\.ts$/.test(edge.to)) return 'imports a test';
  if (rowOf(edge.to) === -1) return `${partOf(edge.to)} has no row: add it to ROWS`;
  if (partOf(edge.from) === partOf(edge.to)) return undefined;
  if (VOCABULARY.includes(edge.to)) return undefined;
  if (rowOf(edge.to) <= rowOf(edge.from)) return 'does not point downwards';
  if (partOf(edge.to) === 'config' && rowOf(edge.from) > rowOf('src/request/x.ts') && !edge.typeOnly) {
    return 'takes more than types from config/: what a part needs of the configuration is handed in';
  }
  return undefined;
}

/** One cycle as a list of paths, or undefined. */
function findCycle(edges: readonly Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) if (to !== undefined) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (node: string): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    path.push(node);
    for (const following of next.get(node) ?? []) {
      const cycle = walk(following);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    done.add(node);
    return undefined;
  };
  for (const node of next.keys()) {
    const cycle = walk(node);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

function show(edge: Import): string {
  return `${edge.from}:${edge.line} imports ${edge.specifier}`;
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

const sources = globSync('src/**/*.ts', { cwd: ROOT })
  .map((path) => path.split(sep).join('/'))
  .filter((path) => !path.endsWith('.test.ts'))
  .sort();
const edges = sources.flatMap((path) => importsOf(path));

describe('imports of src/', () => {
  it('were read at all', () => {
    assert.ok(edges.length > 20, `only ${edges.length} imports found`);
  });

  it('stay in folders that have a row', () => {
    assert.deepEqual(
      sources.filter((path) => rowOf(path) === -1),
      [],
    );
  });

  it('point downwards only', () => {
    const wrong = edges.flatMap((edge) => {
      const why = objection(edge);
      return why === undefined ? [] : [`${show(edge)}: ${why}`];
    });
    assert.deepEqual(wrong, []);
  });

  it('keep the vocabulary free of anything that runs', () => {
    const wrong = edges.filter(
      ({ from, to, typeOnly }) =>
        VOCABULARY.includes(from) &&
        !typeOnly &&
        !VOCABULARY.includes(to ?? '') &&
        !to?.startsWith('src/base/'),
    );
    assert.deepEqual(wrong.map(show), []);
  });

  it('have no cycle, of types either', () => {
    assert.equal(findCycle(edges)?.join(' -> '), undefined);
  });

  it('name only declared dependencies and node: modules', () => {
    // The package's own manifest: `dependencies` is an object of strings.
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const wrong = edges.filter(({ to, specifier }) => {
      if (to !== undefined || specifier.startsWith('node:')) return false;
      return (
        builtinModules.includes(specifier) || !Object.hasOwn(manifest.dependencies, packageOf(specifier))
      );
    });
    assert.deepEqual(wrong.map(show), []);
  });

  it('bring no sockets, files or timers into the pure parts', () => {
    const wrong = edges.filter(
      ({ from, specifier, typeOnly }) =>
        !typeOnly && PURE.some((part) => from.startsWith(`${part}/`)) && IMPURE_BUILTINS.test(specifier),
    );
    assert.deepEqual(wrong.map(show), []);
  });
});

describe('the rule itself', () => {
  /** What the rule says of the one import in `text`. */
  const judge = (from: string, text: string): string => importsOf(from, text).map(objection)[0] ?? 'fine';

  it('lets an import go down and refuses one that goes up or sideways', () => {
    assert.equal(judge('src/request/x.ts', `import { a } from '../routing/hash-ring.ts';`), 'fine');
    assert.match(judge('src/workers/x.ts', `import { a } from '../engines/client.ts';`), /downwards/);
    assert.match(judge('src/routing/x.ts', `import { a } from '../limits/admission.ts';`), /downwards/);
    assert.match(judge('src/base/x.ts', `export { a } from '../http/body.ts';`), /downwards/);
    assert.match(judge('src/sim/x.ts', `const a = await import('../app.ts');`), /downwards/);
    assert.match(judge('src/sim/x.ts', `type A = import('../app.ts').A;`), /downwards/);
  });

  it('knows the vocabulary and the exception for types of the configuration', () => {
    assert.equal(judge('src/workers/x.ts', `import { A } from '../routing/policy.ts';`), 'fine');
    assert.match(judge('src/workers/x.ts', `import type { A } from '../routing/hash-ring.ts';`), /downwards/);
    assert.equal(judge('src/workers/x.ts', `import type { A } from '../config/load.ts';`), 'fine');
    assert.match(judge('src/workers/x.ts', `import { a } from '../config/load.ts';`), /types/);
  });

  it('refuses test files, what lies outside src/, and folders without a row', () => {
    assert.match(judge('src/workers/x.ts', `import { a } from './y.test.ts';`), /test/);
    assert.match(judge('src/workers/x.ts', `import { a } from '../../test/support/x.ts';`), /leaves/);
    assert.match(judge('src/workers/x.ts', `import { a } from '../elsewhere/x.ts';`), /no row/);
  });

  it('finds a cycle', () => {
    const edge = (from: string, to: string): Import => ({
      from,
      to,
      line: 1,
      specifier: to,
      typeOnly: false,
    });
    assert.deepEqual(findCycle([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')]), ['b', 'c', 'b']);
    assert.equal(findCycle([edge('a', 'b'), edge('a', 'c'), edge('b', 'c')]), undefined);
  });

  it('names the file and line', () => {
    const found = importsOf('src/base/x.ts', `\nimport a from '../http/body.ts';`);
    assert.deepEqual(found.map(show), ['src/base/x.ts:2 imports ../http/body.ts']);
  });
});
