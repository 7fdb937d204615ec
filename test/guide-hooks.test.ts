/** The example of the page about hooks runs and does what the page says; its tables are those of the code. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { annotatedSchema } from '../src/config/schema/keys.ts';
import type { SchemaNode } from '../src/config/schema/schema-node.ts';
import { TOKEN_SUFFIX } from '../src/hooks/hook.ts';
import { start } from './programs.ts';
import { chat } from './support/chat.ts';
import { blocksOf, proseOf, sectionOf, tableRows } from './support/pages.ts';
import { startRouter, startScriptedWorker } from './support/scripted-worker.ts';

const PAGE = 'docs/guide/hooks.md';

it('the example refuses passwords and hides mail addresses', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'hook-page-'));
  t.after(() => {
    rmSync(dir, { recursive: true });
  });
  const file = join(dir, 'hook.mjs');
  const [block] = blocksOf(PAGE).filter(({ lang }) => lang === 'javascript');
  writeFileSync(file, block?.text ?? '');
  const [, port = ''] = await start(t, process.execPath, [file, '0'], { cwd: dir }).printed(/port (\d+)/);
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], {
    router: {
      preRoutingHooks: [
        {
          ...{ name: 'personal-data', url: `http://127.0.0.1:${port}/check`, timeoutMs: 5_000 },
          ...{ transform: true, onError: 'block' },
        },
      ],
    },
  });
  const ask = (content: string): Promise<Response> => chat(fleet, { messages: [{ role: 'user', content }] });

  const plain = await ask('Hello');
  assert.deepEqual([plain.status, plain.headers.get('x-vllm-router-hooks')], [200, 'personal-data']);
  await plain.text();
  const hidden = await ask('Write to ann@example.com');
  const shown = /`x-vllm-router-hooks: ([^`]+)`/.exec(proseOf(PAGE))?.[1];
  assert.deepEqual([hidden.status, hidden.headers.get('x-vllm-router-hooks')], [200, shown]);
  await hidden.text();
  assert.match(worker.last.body.toString(), /Write to \[mail address\]/);
  const refused = await ask('my password: 1234');
  assert.equal(refused.status, 403);
  const [answer] = blocksOf(PAGE).filter(({ lang }) => lang === 'text');
  assert.equal(`${await refused.text()}\n`, answer?.text);
  assert.equal(worker.received.length, 2);
});

describe('the tables', () => {
  it('have every key of a service and its default', () => {
    const rows = tableRows(sectionOf(PAGE, 'Settings of a hook')).map(([key = '', value = '']) => [
      key.replaceAll('`', ''),
      value,
    ]);
    const own = new Set(['plugin', 'parameters', 'overrun_ms']);
    const item = annotatedSchema().properties?.['pre_routing_hooks']?.items;
    const keys = [...leaves(item?.properties ?? {})].filter(([name]) => !own.has(name));
    assert.deepEqual(new Map(rows.map(([key = '', value = '']) => [key, value])), new Map(keys));
  });

  it('have every token', () => {
    const section = sectionOf(PAGE, 'What a hook is sent and what it answers');
    const shown = [...section.matchAll(/`name(:[a-z-]+)?` \|$/gm)].map(([, suffix = '']) => suffix);
    assert.deepEqual(new Set(shown), new Set(Object.values(TOKEN_SUFFIX)));
  });
});

function* leaves(
  properties: Readonly<Record<string, SchemaNode>>,
  prefix = '',
): Generator<readonly [string, string]> {
  for (const [name, node] of Object.entries(properties)) {
    if (node.properties) yield* leaves(node.properties, `${prefix}${name}.`);
    else yield [prefix + name, defaultOf(node)];
  }
}

function defaultOf({ default: value }: SchemaNode): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
