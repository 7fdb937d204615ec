import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from './programs.ts';
import { ROOT } from './support/serve.ts';

/** CI gives it a minute; at hand it only shows that the soak itself works. */
const SECONDS = process.env['CI'] === undefined ? 10 : 60;
const CLIENTS = 16;

test(
  'after a mixed load with faults, every lease, place, body byte and descriptor is back',
  {
    timeout: 300_000,
    skip: process.platform === 'linux' ? false : 'reads /proc, which only Linux has',
  },
  async (t) => {
    const args = ['test/soak/run.ts', '--seconds', String(SECONDS), '--clients', String(CLIENTS)];
    const { status, stdout, stderr } = await start(t, process.execPath, args, { cwd: ROOT }).ended;
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /nothing left behind, nothing unexpected/);
  },
);
