/** Hooks come and go with the configuration; requests under way are judged by those they began with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat } from '../support/chat.ts';
import { roundTrip } from '../support/fleet.ts';
import { startFileFleet } from '../support/file-fleet.ts';
import { ALLOW, startHook } from '../support/hook-service.ts';
import { RawClient } from '../support/raw-client.ts';

const HOOKS = 'x-vllm-router-hooks';

test('a hook whose settings change keeps its connection; one that is gone is asked no more', async () => {
  await using first = await startHook();
  await using second = await startHook({ action: 'reject' });
  const guard = { name: 'guard', url: first.url };
  await using fleet = await startFileFleet({ pre_routing_hooks: [guard] });
  const ask = async (): Promise<readonly [number, string | null]> => {
    const response = await chat(fleet);
    await response.text();
    return [response.status, response.headers.get(HOOKS)];
  };
  assert.deepEqual(await ask(), [200, 'guard']);
  fleet.write({
    pre_routing_hooks: [
      { ...guard, headers: { 'x-zone': 'eu' } },
      { name: 'strict', url: second.url },
    ],
  });
  assert.equal((await fleet.reload()).status, 200);
  assert.deepEqual(await ask(), [403, 'guard,strict:rejected']);
  assert.equal(first.last.headers['x-zone'], 'eu');
  assert.equal(first.connections, 1);
  fleet.write({});
  await fleet.reload();
  assert.deepEqual(await ask(), [200, null]);
});

test('a request that is being checked is judged to the end by the hooks it began with', async () => {
  const { promise: verdict, resolve } = Promise.withResolvers<object>();
  await using first = await startHook(() => verdict);
  await using second = await startHook({ action: 'reject' });
  await using fleet = await startFileFleet({
    pre_routing_hooks: [
      { name: 'slow', url: first.url, timeout_ms: 60_000 },
      { name: 'strict', url: second.url, on_error: 'block' },
    ],
  });
  const asked = chat(fleet);
  await first.called(1);
  fleet.write({});
  await fleet.reload();
  const unchecked = await chat(fleet);
  assert.equal(unchecked.status, 200);
  await unchecked.text();
  resolve(ALLOW);
  const response = await asked;
  assert.deepEqual([response.status, response.headers.get(HOOKS)], [403, 'slow,strict:rejected']);
  await response.text();
});

test('a body that was passed on as it came is not held up by a hook that appears meanwhile', async () => {
  await using hook = await startHook({ action: 'reject' });
  await using fleet = await startFileFleet();
  await using client = await RawClient.connect(fleet.port);
  client.send('POST /v1/upload HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n');
  await roundTrip(fleet);
  fleet.write({ pre_routing_hooks: [{ name: 'guard', url: hook.url }] });
  await fleet.reload();
  client.send('3\r\nend\r\n0\r\n\r\n');
  const response = await client.response();
  assert.equal(response.status, 404, 'the worker’s own answer to a route it does not have');
  assert.equal(hook.calls.length, 0);
});
