import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { configFromOptions } from '../config/load/load.ts';
import type { Settings } from '../config/settings/settings.ts';
import { good } from '../config/test-support.ts';
import { silentLog, type Log, type LogFields } from '../observe/log.ts';
import { warmUp } from './warm-up.ts';

const settings: Settings = good(configFromOptions({ workerUrls: ['http://127.0.0.1:9'] })).settings;

/** What it says of itself. */
async function lineOf(isBusy: () => boolean, of: Settings = settings): Promise<LogFields> {
  const lines: LogFields[] = [];
  const log: Log = { ...silentLog, debug: (fields) => lines.push(fields) };
  await warmUp(of, { log, isBusy });
  assert.equal(lines.length, 1);
  return lines[0] ?? {};
}

const handles = (): number =>
  process.getActiveResourcesInfo().filter((kind) => /TCP|Pipe|Server/.test(kind)).length;

describe('the warm-up', () => {
  it('ends when its CPU is spent, and leaves nothing open', async () => {
    const before = handles();
    const { end, chats, cpu_ms } = await lineOf(() => false);
    assert.equal(end, 'done');
    assert.ok(Number(chats) >= 20, `${String(chats)} chats`);
    assert.ok(Number(cpu_ms) < 500, `${String(cpu_ms)} ms`);
    // A socket that was destroyed is there for another turn of the loop.
    for (let turn = 0; turn < 100 && handles() > before; turn += 1) await setImmediate();
    assert.equal(handles(), before);
  });

  it('ends with the chats that are under way when somebody wants something', async () => {
    let asked = 0;
    const { end, chats } = await lineOf(() => (asked += 1) > 10);
    assert.equal(end, 'busy');
    assert.equal(chats, 10);
  });

  it('does not begin where somebody does already', async () => {
    const { end, chats } = await lineOf(() => true);
    assert.deepEqual([end, chats], ['busy', 0]);
  });

  it('asks no plugin and no hook', async () => {
    const never = (): never => assert.fail('asked');
    const { end, chats } = await lineOf(() => false, {
      ...settings,
      policy: {
        ...{ type: 'plugin', name: 'own', parameters: {}, timeoutMs: 10, overrunMs: 10 },
        plugin: { create: never },
        fallback: { type: 'round_robin' },
      },
      clients: { ...settings.clients, auth: { kind: 'one_key', sha256: '0'.repeat(64) } },
    });
    assert.equal(end, 'done');
    assert.ok(Number(chats) >= 20, `${String(chats)} chats`);
  });
});
