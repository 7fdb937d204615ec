/** The walk-through of the replay page, in small: its commands, its configurations, and what its output looks like. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { run, start } from './programs.ts';
import { blocksOf, commandsOf, type Command } from './support/pages.ts';
import { LAUNCHER } from './support/serve.ts';

const PAGE = 'docs/guide/replay.md';

function argsOf(commands: readonly Command[], subCommand: string): readonly string[] {
  const command = commands.find(({ args }) => args[0] === subCommand);
  assert.ok(command, `the page has no vllm-router ${subCommand}`);
  return command.args;
}

it('the walk-through of the replay page', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'vllm-router-replay-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const blocks = blocksOf(PAGE);
  const commands = blocks.filter(({ lang }) => lang === 'sh').flatMap(commandsOf);
  const inDir = { cwd: dir };

  const demo = start(
    t,
    process.execPath,
    [LAUNCHER, ...argsOf(commands, 'demo'), '--port', '0', '--no-metrics'],
    inDir,
  );
  const [, url = ''] = await demo.printed(/Router +(http:\S+)/);
  const chats = blocksOf('docs/guide/policies.md').find(({ text }) => text.startsWith('// chats.mjs'));
  writeFileSync(join(dir, 'chats.mjs'), chats?.text ?? '');
  const sent = await run(process.execPath, ['chats.mjs', url, '8', '3', '20'], inDir);
  assert.equal(sent.status, 0, sent.stderr);
  demo.child.kill('SIGINT');
  assert.equal((await demo.ended).status, 0);

  const names = ['least-work.yaml', 'sticky.yaml'];
  const yaml = blocks.filter(({ lang }) => lang === 'yaml');
  assert.equal(yaml.length, names.length);
  for (const [index, name] of names.entries()) writeFileSync(join(dir, name), yaml[index]?.text ?? '');
  const replayed = await run(process.execPath, [LAUNCHER, ...argsOf(commands, 'replay')], inDir);
  assert.equal(replayed.status, 0, replayed.stderr);
  assert.match(replayed.stdout, /^24 records, 24 replayed on 4 workers/);

  // Every line of the page has one in the output that differs in nothing but numbers and spaces.
  const shape = (line: string): string =>
    line
      .replaceAll(/[\d.]+/g, '#')
      .replaceAll(/\s+/g, ' ')
      .trim();
  const shapes = new Set(replayed.stdout.split('\n').map(shape));
  const shown = blocks.find(({ lang }) => lang === 'text')?.text.split('\n') ?? [];
  assert.ok(shown.length > 10);
  const judgement = /: differences above|^left out/;
  for (const line of shown.filter((one) => !judgement.test(one))) assert.ok(shapes.has(shape(line)), line);
});
