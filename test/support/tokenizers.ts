import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const FOLDER = new URL('../data/tokenizers/', import.meta.url).pathname;

/** The folder of one of the tokenizers of the tests: `chatml`, `parts` or `inst`. */
export function tokenizerFolder(name: 'chatml' | 'parts' | 'inst'): string {
  return join(FOLDER, name);
}

/** A copy of one that a test may change. */
export function copyOfTokenizer(t: Pick<TestContext, 'after'>, name: 'chatml' | 'parts' | 'inst'): string {
  const folder = mkdtempSync(join(tmpdir(), 'vllm-router-tokenizer-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  cpSync(tokenizerFolder(name), folder, { recursive: true });
  return folder;
}

/** One whose regular expression takes longer with every `a` of a text, twice as long each time. */
export function hostileTokenizer(t: Pick<TestContext, 'after'>): string {
  const folder = copyOfTokenizer(t, 'chatml');
  const path = join(folder, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const pattern = { Regex: '(a+)+b' };
  const pre = { type: 'Split', pattern, behavior: 'Isolated', invert: false };
  writeFileSync(path, JSON.stringify({ ...tokenizer, pre_tokenizer: pre }));
  return folder;
}
