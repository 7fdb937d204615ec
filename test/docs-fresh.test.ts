/** Generated pages say what the code says, and no page points to something that is not there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { it } from 'node:test';
import { deadLinks, linksOf, ROOT } from './support/pages.ts';

const PAGES = [...globSync('*.md', { cwd: ROOT }), ...globSync('docs/**/*.md', { cwd: ROOT })];

it('has reference pages that are what the code generates', () => {
  const run = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: ROOT, encoding: 'utf8' });
  assert.equal(`${run.stdout}${run.stderr}`, '');
  assert.equal(run.status, 0);
});

it('has no link to a file or heading that does not exist', () => {
  assert.ok(PAGES.includes('README.md'));
  assert.deepEqual(deadLinks(PAGES), []);
});

it('has every page in the index of the documentation, with a line about it', () => {
  const index = 'docs/README.md';
  const linked = linksOf(index).map((link) => normalize(join('docs', link.split('#')[0] ?? '')));
  const pages = PAGES.filter((page) => page.startsWith('docs/') && page !== index);
  assert.ok(pages.length > 25);
  assert.deepEqual(
    pages.filter((page) => linked.filter((target) => target === page).length !== 1),
    [],
    'linked once',
  );
});

it('leads from the front page to the index and to what an operator looks for', () => {
  const linked = linksOf('README.md');
  for (const page of ['README', 'guide/replay', 'guide/reload', 'guide/workers-api', 'guide/admin'])
    assert.ok(linked.includes(`docs/${page}.md`), page);
});
