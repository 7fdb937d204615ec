/** Reading the documentation as data: its code blocks, commands and tables. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** One fenced block. */
export interface Block {
  /** Page and line of its first line, for messages. */
  readonly at: string;
  /** Its info string: `sh`, `yaml`, ... */
  readonly lang: string;
  readonly text: string;
}

export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

export function blocksOf(path: string): Block[] {
  const page = readPage(path);
  return [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    at: `${path}:${page.slice(0, match.index).split('\n').length + 1}`,
    lang: match[1] ?? '',
    text: match[2] ?? '',
  }));
}

/** The page without its blocks. */
export function proseOf(path: string): string {
  return readPage(path).replace(/^```[\s\S]*?^```$/gm, '');
}

/** What stands below a heading of the second level, blocks left out. */
export function sectionOf(path: string, heading: string): string {
  const section = proseOf(path)
    .split(/^## /m)
    .find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`${path} has no heading "${heading}"`);
  return section;
}

export interface Command {
  readonly at: string;
  /** `VLLM_ROUTER_PORT=3000 vllm-router` sets one. */
  readonly env: Readonly<Record<string, string>>;
  readonly program: string;
  readonly args: readonly string[];
  /** As it stands on the page, continued lines included. */
  readonly text: string;
}

/** The commands of a `sh` block, one per line; a backslash continues a line. Comments are left out. */
export function commandsOf(block: Block): Command[] {
  const lines = block.text.replaceAll('\\\n', ' ').split('\n');
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((text) => {
      const words = wordsOf(text);
      const first = words.findIndex((word) => !/^[A-Z_]+=/.test(word));
      const env = words.slice(0, first).map((word): [string, string] => {
        const equals = word.indexOf('=');
        return [word.slice(0, equals), word.slice(equals + 1)];
      });
      return {
        at: block.at,
        env: Object.fromEntries(env),
        program: words[first] ?? '',
        args: words.slice(first + 1),
        text,
      };
    });
}

/** Words as a shell sees them, as far as these pages go: spaces, single and double quotes, a comment at the end. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const [, word = ''] of line.matchAll(/((?:[^\s'"]|'[^']*'|"[^"]*")+)/g)) {
    if (word.startsWith('#')) break;
    words.push(word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2'));
  }
  return words;
}

/** Rows of all tables, cells without surrounding spaces; heads and rules left out. */
export function tableRows(text: string): string[][] {
  return [...text.matchAll(/^\|(.*)\|$/gm)]
    .map((match) => (match[1] ?? '').split('|').map((cell) => cell.trim()))
    .filter((cells, index, rows) => !isRule(cells) && !isRule(rows[index + 1] ?? []));
}

function isRule(cells: readonly string[]): boolean {
  return cells.length > 0 && cells.every((cell) => /^:?-+:?$/.test(cell));
}

/** The targets of a page's links that lead to files and headings. */
export function linksOf(page: string, root = ROOT): string[] {
  const prose = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** Links of the pages, paths below `root`, to files and headings that are not there: `page: link`. */
export function deadLinks(pages: readonly string[], root = ROOT): string[] {
  return pages.flatMap((page) =>
    linksOf(page, root)
      .filter((link) => !leadsSomewhere(join(root, page), link))
      .map((link) => `${page}: ${link}`),
  );
}

function leadsSomewhere(from: string, link: string): boolean {
  const [path = '', heading] = link.split('#');
  const target = path === '' ? from : resolve(dirname(from), path);
  if (!existsSync(target)) return false;
  return heading === undefined || headingsOf(target).includes(heading);
}

/** The anchors that a page's headings get: lower case, punctuation dropped, spaces as hyphens. */
function headingsOf(path: string): string[] {
  const headings = readFileSync(path, 'utf8').matchAll(/^#+\s+(.*)$/gm);
  return [...headings].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}
