/** What the page on prefill and decode has a newcomer run, and the reasons that it names. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CONNECTORS } from '../src/engines/prefill-decode/index.ts';
import { run, start } from './programs.ts';
import { startPair } from './support/sim-pair.ts';
import { readPage, ROOT, sectionOf, tableRows } from './support/pages.ts';

const PAGE = 'docs/guide/prefill-decode.md';
const LAUNCHER = join(ROOT, 'bin/vllm-router.js');

describe('the page on prefill and decode', () => {
  it('has every connector', () => {
    const first = tableRows(sectionOf(PAGE, 'Connectors')).map(([name = '']) => name.replaceAll('`', ''));
    assert.deepEqual(first, Object.keys(CONNECTORS));
  });

  it('has every reason for which a request is not split', () => {
    const page = readPage(PAGE);
    const source = readFileSync(join(ROOT, 'src/request/choose/pair.ts'), 'utf8');
    const union = /export type WhySplit =([\s\S]*?);/.exec(source)?.[1] ?? '';
    const reasons = [...union.matchAll(/'([a-z_]+)'/g)].map((match) => match[1] ?? '');
    assert.ok(reasons.length > 5);
    for (const reason of [...reasons, 'whole_sooner', 'short'])
      assert.ok(page.includes(`\`${reason}\``), reason);
  });

  it('has its doctor find a pair that hands over', async () => {
    await using pair = await startPair({});
    const flags = ['--prefill', pair.prefill.url, '--decode', pair.decode.url];
    const { status, stdout } = await run(process.execPath, [LAUNCHER, 'doctor', ...flags], { cwd: ROOT });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /ok +handover/);
  });

  it('begins with a demo, in which a pair serves a long prompt while its workers write other answers', async (t) => {
    const demo = start(t, process.execPath, [LAUNCHER, 'demo', '--pd', '--port', '0', '--no-metrics'], {
      cwd: ROOT,
    });
    await demo.printed(/\(prefill\)/);
    await demo.printed(/a short prompt +\d+ tokens, whole on http/);
    await demo.printed(/a long one +\d+ tokens, prompt in [\d.]+ s on http\S+, fetched in [\d.]+ s by http/);
    await demo.printed(/the same once more +\d+ tokens/);
    demo.child.kill('SIGINT');
    assert.equal((await demo.ended).status, 0);
  });
});
