/** The examples of docs/guide/simulate.md are run, and what the page shows of them is what they print. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { simulate } from '../src/commands/simulate.ts';
import { BASELINES } from '../src/simulate/baselines/index.ts';
import { SIMULATE_FLAGS } from '../src/simulate/study/flags.ts';
import { GENERATORS } from '../src/simulate/traces/generators.ts';
import { blocksOf, commandsOf, readPage, tableRows } from './support/pages.ts';

const PAGE = 'docs/guide/simulate.md';
const page = readPage(PAGE);
const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-guide-simulate-'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

async function run(args: readonly string[]): Promise<string> {
  let [out, err] = ['', ''];
  const bar = { show: () => undefined, clear: () => undefined };
  const code = await simulate(args, { out: (text) => (out += text), err: (text) => (err += text), bar });
  assert.equal(code, 0, err);
  return out;
}

/** Names of rows and columns, and the rows that no policy has a part in: policies may get better without a new page. */
function frameOf(table: string): string[] {
  return table
    .trim()
    .split('\n')
    .map((line, index) => {
      if (index === 0 || line.startsWith('(')) return line.replaceAll(/ +/g, ' ');
      return index === 1 ? line.replaceAll(/ +/g, ' ') : (line.split(' ')[0] ?? '');
    });
}

describe('the examples', () => {
  const blocks = blocksOf(PAGE);
  const shown = blocks.flatMap((block, index) => {
    const output = blocks[index + 1];
    const [command] = block.lang === 'sh' ? commandsOf(block) : [];
    return command && output?.lang === 'text' ? [{ command, output }] : [];
  });

  it('are three', () => {
    assert.equal(shown.length, 3);
  });

  for (const { command, output } of shown) {
    it(`${command.at} prints what stands below it`, async () => {
      assert.deepEqual(frameOf(await run(command.args.slice(1))), frameOf(output.text));
    });
  }

  for (const command of blocks.filter(({ lang }) => lang === 'sh').flatMap(commandsOf)) {
    const { args } = command;
    if (!args.includes('--html') && !args.includes('--json')) continue;
    it(`${command.at} writes its report`, async () => {
      const html = join(scratch, 'report.html');
      const smaller = [...args.slice(1), '--requests', '200'];
      const out = await run(smaller.map((word) => (word === 'report.html' ? html : word)));
      if (args.includes('--json')) JSON.parse(out);
      else assert.match(readFileSync(html, 'utf8'), /The knee/);
    });
  }
});

describe('the page', () => {
  it('names every flag, generator and formula, and no other', () => {
    const named = new Set(page.match(/(?<![\w-])--[a-z][a-z-]+/g));
    const known = SIMULATE_FLAGS.map(({ name }) => name);
    assert.deepEqual([...named].sort(), [...known].sort());
    const rows = tableRows(page).map(([first = '']) => first.replaceAll('`', ''));
    for (const name of Object.keys(GENERATORS)) assert.ok(rows.includes(name), name);
    for (const name of Object.keys(BASELINES)) assert.ok(page.includes(`\`${name}\``), name);
  });
});
