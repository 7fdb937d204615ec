import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ensureDir } from './ensure-dir.ts';

test('makes what is missing, and is content with what is there', (context) => {
  const root = mkdtempSync(join(tmpdir(), 'ensure-dir-'));
  context.after(() => {
    rmSync(root, { recursive: true });
  });
  const deep = join(root, 'a', 'b', 'c');
  ensureDir(deep);
  ensureDir(deep);
  assert.ok(existsSync(deep));
  writeFileSync(join(root, 'file'), '');
  assert.throws(() => {
    ensureDir(join(root, 'file', 'below'));
  }, /ENOTDIR/);
});

test('gives up where the file system takes no directories', () => {
  assert.throws(() => {
    ensureDir('/proc/nowhere/deep');
  }, /ENOENT/);
});
