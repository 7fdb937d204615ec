/** What stands in Redis and is no good: every such value is a miss that is counted, and costs no more than a good one. */
import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/system-clock.ts';
import { SharedValues } from '../../src/redis/shared-values.ts';
import { eventually } from '../support/fleet.ts';
import { openLink, type OpenLink } from '../support/redis-link.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

const MINUTE = 60_000;
const MOST = 4096;

interface Opened extends OpenLink {
  readonly server: RedisServer;
  readonly values: SharedValues;
  readonly discarded: string[];
}

async function open(t: TestContext, secret?: string): Promise<Opened | undefined> {
  const server = await startRedis(t);
  if (!server) return undefined;
  const opened = openLink(t, { url: server.url });
  await eventually(() => opened.link.isUp);
  const discarded: string[] = [];
  const values = new SharedValues(opened.link, systemClock, {
    ...{ kind: 'test', mostBytes: MOST, secret },
    onDiscarded: (_kind, reason) => discarded.push(reason),
  });
  return { ...opened, server, values, discarded };
}

it('what others have put there is a miss, and counted by what is wrong with it', async (t) => {
  const opened = await open(t, 'secret');
  if (!opened) return;
  const { server, values, discarded, settled } = opened;
  const at = (key: string): string => values.beginning + key;
  values.set('good', Buffer.from('value'), MINUTE);
  await settled();
  await server.ask('set', at('text'), 'garbage');
  await server.ask('lpush', at('list'), 'garbage');
  await server.ask('set', at('version'), 'vr\x09\x00abc');
  await server.ask('set', at('unsigned'), 'vr\x01\x00abc');
  await server.ask('copy', at('good'), at('copied'));
  await server.ask('setrange', at('huge'), 50_000_000, 'x');
  for (const key of ['text', 'list', 'version', 'unsigned', 'copied', 'huge', 'absent'])
    assert.equal(await values.get(key), undefined, key);
  assert.deepEqual(discarded, ['foreign', 'foreign', 'version', 'signature', 'signature', 'huge']);
  assert.equal(String(await values.get('good')), 'value');
});

it('a value that is too long is not written', async (t) => {
  const opened = await open(t);
  if (!opened) return;
  const { values, discarded, settled } = opened;
  values.set('a', Buffer.alloc(MOST + 1), MINUTE);
  values.set('b', Buffer.alloc(MOST), MINUTE);
  await settled();
  assert.equal(await values.get('a'), undefined);
  assert.equal((await values.get('b'))?.length, MOST);
  assert.deepEqual(discarded, ['huge']);
});

it('what is written while the server is frozen is let go of, and bounded meanwhile', async (t) => {
  const opened = await open(t);
  if (!opened) return;
  const { server, values, discarded, settled, link } = opened;
  server.signal('SIGSTOP');
  for (let at = 0; at < 2000; at++) values.set(`k${at}`, Buffer.alloc(1000), MINUTE);
  assert.equal(discarded.length, 2000 - 1024);
  assert.ok(discarded.every((reason) => reason === 'busy'));
  await settled();
  values.set('later', Buffer.alloc(1000), MINUTE);
  assert.equal(link.takesWrites, false);
  assert.equal(discarded.length, 2000 - 1024);
  server.signal('SIGCONT');
  await eventually(() => link.isUp);
  values.set('again', Buffer.from('value'), MINUTE);
  await settled();
  assert.equal(String(await values.get('again')), 'value');
});

it('an answer that is not waited for comes too late and harms nobody', async (t) => {
  const opened = await open(t);
  if (!opened) return;
  const { server, values } = opened;
  server.signal('SIGSTOP');
  const began = performance.now();
  assert.equal(await values.get('a', 20), undefined);
  assert.ok(performance.now() - began < 150);
  server.signal('SIGCONT');
});
