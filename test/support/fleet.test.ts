import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFileFleet } from './file-fleet.ts';
import { eventually, startFleet } from './fleet.ts';

const servers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;

test('a fleet whose router cannot start leaves no simulated worker behind', async () => {
  const before = servers();
  await assert.rejects(startFleet({ router: { port: -1 } }), /^Error: port: expected/);
  await assert.rejects(startFleet({ router: { plugins: [{ name: '' } as never] } }));
  await assert.rejects(startFileFleet({ port: -1 }), /router\.yaml:1:7: port: expected/);
  await using blocker = await startFleet({ workers: [] });
  await assert.rejects(startFleet({ router: { port: blocker.port } }), /the port is taken/);
  await assert.rejects(startFleet({ workers: [{}, { port: blocker.port }] }), /EADDRINUSE/);
  await blocker.stop();
  await eventually(() => servers() === before, 2_000);
});
