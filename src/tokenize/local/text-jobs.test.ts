import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/fleet.ts';
import { copyOfTokenizer, hostileTokenizer, tokenizerFolder } from '../../../test/support/tokenizers.ts';
import { writeFileSync } from 'node:fs';
import { systemClock } from '../../base/system-clock.ts';
import { silentLog } from '../../observe/log.ts';
import { createMetrics } from '../../observe/metrics.ts';
import { TextJobs } from './text-jobs.ts';
import type { LoadedTokenizer, TextJob } from './text-messages.ts';

const MODULE = new URL('text-thread.ts', import.meta.url);

function start(t: TestContext, jobMs = 1_000, module = MODULE) {
  const metrics = createMetrics();
  const jobs = new TextJobs({
    ...{ clock: systemClock, log: silentLog, metrics, module, heapMb: 256, jobMs },
  });
  t.after(() => jobs.stop());
  return { jobs, ends: (cause: string) => metrics.helperThreadEndsTotal.with('text', cause).value };
}

function identityOf(loaded: LoadedTokenizer): string {
  assert.equal(loaded.kind, 'loaded', JSON.stringify(loaded));
  return loaded.identity;
}

function prompt(identity: string, text: string): TextJob {
  const members = Buffer.from(JSON.stringify({ prompt: text }));
  return { identity, route: 'completion', members, format: 'string', features: [] };
}

describe('the text thread', () => {
  it('tokenises with what it has loaded, several tokenizers beside each other', async (t) => {
    const { jobs } = start(t);
    const [one, other] = await Promise.all(
      ['chatml', 'inst'].map((name) => jobs.load(tokenizerFolder(name as 'inst'))),
    );
    const results = await Promise.all(
      [one!, other!].map((loaded) => jobs.run(prompt(identityOf(loaded), 'The router'))),
    );
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ['ids', 'ids'],
    );
    assert.notDeepEqual(results[0], results[1]);
    assert.equal((await jobs.run(prompt('another', 'a'))).kind, 'failed');
  });

  it('is replaced where a prompt takes too long, and goes on with the next one as it was', async (t) => {
    const { jobs, ends } = start(t, 300);
    const [hostile, good] = [
      identityOf(await jobs.load(hostileTokenizer(t))),
      identityOf(await jobs.load(tokenizerFolder('chatml'))),
    ];
    const long = jobs.run(prompt(hostile, 'a'.repeat(64)));
    const result = await long;
    assert.equal(result.kind, 'failed');
    await eventually(() => ends('over_time') === 1);
    // The next thread comes after a moment.
    while ((await jobs.run(prompt(good, 'The router'))).kind !== 'ids') await new Promise(setImmediate);
    assert.equal((await jobs.run(prompt(hostile, 'b'))).kind, 'ids');
  });

  it('is not replaced for each of many prompts that take too long: their like go elsewhere for a while', async (t) => {
    const { jobs, ends } = start(t, 300);
    const hostile = identityOf(await jobs.load(hostileTokenizer(t)));
    const results = await Promise.all(
      Array.from({ length: 20 }, () => jobs.run(prompt(hostile, 'a'.repeat(64)))),
    );
    assert.deepEqual(results.map(({ kind }) => kind).sort(), ['failed', ...Array<string>(19).fill('slow')]);
    assert.equal((await jobs.run(prompt(hostile, 'a'.repeat(99)))).kind, 'slow');
    await eventually(() => ends('over_time') === 1);
  });

  it('does not wait for ever, and lets nobody wait behind too many', async (t) => {
    const { jobs } = start(t, 300);
    const hostile = identityOf(await jobs.load(hostileTokenizer(t)));
    const first = jobs.run(prompt(hostile, 'a'.repeat(64)));
    const waiting = Array.from({ length: 64 }, () => jobs.run(prompt(hostile, 'b')));
    assert.equal((await jobs.run(prompt(hostile, 'b'))).kind, 'busy');
    assert.equal((await first).kind, 'failed');
    await Promise.all(waiting);
  });

  it('that ends over one tokenizer reads the others all the same, and that one a few times only', async (t) => {
    const source = `export function serve(_, channel) {
      channel.answer({ name: 'text.load' }, (path) => {
        if (path === 'bad') process.exit(1);
        return { kind: 'loaded', identity: path, specials: [] };
      });
      channel.answer({ name: 'text.tokenise' }, () => ({ kind: 'ids', ids: new Uint32Array(1) }));
    }`;
    const { jobs, ends } = start(t, 1_000, new URL(`data:text/javascript,${encodeURIComponent(source)}`));
    const [bad, good, other] = await Promise.all(['bad', 'good', 'other'].map((path) => jobs.load(path)));
    assert.equal(bad?.kind, 'unreadable');
    assert.deepEqual([identityOf(good!), identityOf(other!)], ['good', 'other']);
    assert.equal((await jobs.run(prompt('good', 'a'))).kind, 'ids');
    assert.equal(ends('fault'), 3);
  });

  it('says what cannot be read, and reads it again when it is asked', async (t) => {
    const { jobs } = start(t);
    const folder = copyOfTokenizer(t, 'chatml');
    const before = identityOf(await jobs.load(folder));
    writeFileSync(`${folder}/chat_template.jinja`, '{% for %}');
    const broken = await jobs.load(folder);
    assert.equal(broken.kind, 'unreadable');
    assert.equal((await jobs.run(prompt(before, 'a'))).kind, 'failed');
    writeFileSync(`${folder}/chat_template.jinja`, '{{ messages[0].content }}');
    assert.notEqual(identityOf(await jobs.load(folder)), before);
  });

  it('that is stopped answers whoever waits', async (t) => {
    const { jobs } = start(t, 60_000);
    const hostile = identityOf(await jobs.load(hostileTokenizer(t)));
    const [first, second] = [jobs.run(prompt(hostile, 'a'.repeat(64))), jobs.run(prompt(hostile, 'b'))];
    await jobs.stop();
    assert.deepEqual([(await first).kind, (await second).kind], ['failed', 'busy']);
  });
});
