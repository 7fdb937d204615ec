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

/**
 * Names of rows, and the rows that no policy has a part in: policies may get better without a new page, and with their
 * numbers the columns that a line has room for.
 */
function frameOf(table: string): string[] {
  return table
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('left out'))
    .map((line, index) =>
      index === 0 || line.startsWith('(') ? line.replaceAll(/ +/g, ' ') : (line.split(' ')[0] ?? ''),
    );
}

const blocks = blocksOf(PAGE);

describe('the examples', () => {
  const shown = blocks.flatMap((block, index) => {
    const output = blocks[index + 1];
    const [command] = block.lang === 'sh' ? commandsOf(block) : [];
    return command && output?.lang === 'text' ? [{ command, output }] : [];
  });

  it('are four', () => {
    assert.equal(shown.length, 4);
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
      const smaller = [...args.slice(1), '--requests', '200', '--seeds', '2'];
      const out = await run(smaller.map((word) => (word.endsWith('.html') ? html : word)));
      if (args.includes('--json')) JSON.parse(out);
      else assert.match(readFileSync(html, 'utf8'), /The knee/);
    });
  }
});

describe('the table of the knee', () => {
  const command = blocks
    .flatMap((block) => (block.lang === 'sh' ? commandsOf(block) : []))
    .find(({ text }) => text.includes('knee.html'));
  const args = (command?.args.slice(1) ?? []).filter((word) => word !== '--html' && word !== 'knee.html');
  const rows = tableRows(page).filter(([name = '']) =>
    /^`(round_robin|power_of_two|cache_aware|least_work)`$/.test(name),
  );

  it('says where goodput is highest, which is neither at the first nor at the last rate', () => {
    assert.equal(rows.length, 4);
    for (const [name, ...cells] of rows) {
      const values = cells.map((cell) => Number(cell.replaceAll('*', '')));
      const highest = values.indexOf(Math.max(...values));
      assert.deepEqual(
        cells.flatMap((cell, at) => (cell.startsWith('**') ? [at] : [])),
        [highest],
        name,
      );
      assert.ok(highest > 0 && highest < values.length - 1, name);
    }
  });

  it('is of a command that shows a knee for every policy', async () => {
    const report = JSON.parse(await run([...args, '--requests', '1000', '--seeds', '2', '--json'])) as {
      studies: {
        speed: number;
        policies: { policy: string; means: { goodput_per_second: { mean: number } } }[];
      }[];
    };
    const [{ policies: names } = { policies: [] }] = report.studies;
    const knees = names.map(({ policy }, place) => {
      const goodput = report.studies.map(
        ({ policies }) => policies[place]?.means.goodput_per_second.mean ?? NaN,
      );
      const highest = goodput.indexOf(Math.max(...goodput));
      assert.ok(highest > 0 && highest < goodput.length - 1, `${policy}: ${goodput.join(' ')}`);
      assert.ok((goodput.at(-1) ?? NaN) < 0.7 * (goodput[highest] ?? NaN), policy);
      return highest;
    });
    assert.deepEqual(
      [...knees].sort((left, right) => left - right),
      knees,
      'further right from policy to policy',
    );
  });
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
