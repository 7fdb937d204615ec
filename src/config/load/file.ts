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
  // A warning is about a tag that means nothing here.
  const error = document.errors[0] ?? document.warnings[0];
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
    return failed(`${file}:${line}:${col}`, `not valid YAML: ${reason}`);
  }
  let root: unknown;
  try {
    root = document.toJS();
  } catch (cause) {
    // Aliases that unfold without end, or that lead nowhere.
    return failed(file, `not valid YAML: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  return readObject(root, {
    spell: (segment) => segment,
    origin: (path, of) => at(offsetOf(document.contents, path, of)),
  });
}

const failed = (at: string, message: string): Reading => ({ layer: new Map(), problems: [{ at, message }] });

/** Where `path` stands in the text; of what an alias unfolds to, the place of the alias. */
function offsetOf(root: Node | null, path: readonly PropertyKey[], of: 'name' | 'value'): number {
  let node = root;
  let offset = root?.range?.[0] ?? 0;
  for (const [depth, segment] of path.entries()) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === segment);
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
