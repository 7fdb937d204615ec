import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemReason } from '../../base/system-reason.ts';
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type Node } from 'yaml';
import { readObject } from './object-layer.ts';
import type { Origin, Problem, Reading } from './layer.ts';

export type Text =
  { readonly kind: 'ok'; readonly text: string } | { readonly kind: 'bad'; readonly problem: Problem };

/** `path` is shown as it was given and resolved against `cwd`. */
export function readText(path: string, cwd: string): Text {
  try {
    return { kind: 'ok', text: readFileSync(resolve(cwd, path), 'utf8') };
  } catch (cause) {
    const message = `cannot be read: ${systemReason(cause)}`;
    return { kind: 'bad', problem: { at: path, message, unreadable: true } };
  }
}

/** Reads a YAML (or JSON) file into entries; everything wrong with it has its line and column. */
export function readYaml(text: string, file: string): Reading {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'error' });
  const at = (offset: number): Origin => {
    const { line, col } = lines.linePos(offset);
    return { kind: 'file', file, line, column: col };
  };
  // A warning is about a tag that means nothing here. Of several on one line, the others follow from the first.
  const errors = new Map<number, Problem>();
  for (const { code, pos, message } of [...document.errors, ...document.warnings]) {
    const { line, col } = lines.linePos(pos[0]);
    const [first = ''] = message.split('\n');
    const [, twice] = (code === 'DUPLICATE_KEY' && /^(.+?)\s*:(?:\s|$)/m.exec(text.slice(pos[0]))) || [];
    const reason = twice
      ? `${twice} stands here for the second time`
      : first.replace(/ at line \d+, column \d+:?$/, '');
    const problem = { at: `${file}:${line}:${col}`, message: `not valid YAML: ${reason}` };
    if (!errors.has(line)) errors.set(line, problem);
  }
  const broken = document.errors.find(({ code }) => !HARMLESS.has(code));
  let root: unknown;
  try {
    root = document.toJS();
  } catch (cause) {
    // Aliases that unfold without end, or that lead nowhere.
    return failed(file, `not valid YAML: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (broken) root = pairsBefore(document.contents, root, broken.pos[0]);
  const reading = readObject(root, {
    spell: (segment) => segment,
    origin: (path, of) => at(offsetOf(document.contents, path, of)),
  });
  const problems = [...errors.values(), ...reading.problems];
  return { ...reading, problems, ...(broken && { partial: true }) };
}

/** Errors after which the rest of the file still means what it says. */
const HARMLESS: ReadonlySet<string> = new Set(['DUPLICATE_KEY', 'MULTIPLE_DOCS', 'TAG_RESOLVE_FAILED']);

/** The top-level keys that ended before the place where the file stops making sense. */
function pairsBefore(contents: Node | null, root: unknown, offset: number): unknown {
  if (!isMap(contents) || typeof root !== 'object' || root === null) return undefined;
  const begun = contents.items.flatMap(({ key }) =>
    isScalar(key) && (key.range?.[0] ?? offset) < offset ? [String(key.value)] : [],
  );
  const whole = new Set(begun.slice(0, -1));
  return Object.fromEntries(Object.entries(root).filter(([name]) => whole.has(name)));
}

const failed = (at: string, message: string): Reading => ({ layer: new Map(), problems: [{ at, message }] });

/** Where `path` stands in the text; of what an alias unfolds to, the place of the alias. */
function offsetOf(root: Node | null, path: readonly PropertyKey[], of: 'name' | 'value'): number {
  let node = root;
  let offset = root?.range?.[0] ?? 0;
  for (const [depth, segment] of path.entries()) {
    let next: unknown;
    if (isMap(node)) {
      // Of a key that stands there twice, the last one counts.
      const pair = node.items.findLast((item) => isScalar(item.key) && String(item.key.value) === segment);
      next = pair?.value;
      if (pair && isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      if (of === 'name' && depth === path.length - 1) return offset;
    } else if (isSeq(node) && typeof segment === 'number') next = node.items[segment];
    if (!isNode(next)) return offset;
    // An empty value has a place too, but the name before it says more.
    if (!isScalar(next) || next.value !== null) offset = next.range?.[0] ?? offset;
    node = next;
  }
  return offset;
}
