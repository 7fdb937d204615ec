import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { registrationOf, workerEntry, type Registration } from '../config/schema/worker-entry.ts';
import { StateFile, StateFileError } from './state-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'state-file-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function registration(url: string): Registration {
  return registrationOf(workerEntry.parse({ url, api_key: 'secret-key' }));
}

let files = 0;
function open(path = join(folder, `state-${(files += 1)}.json`)) {
  const clock = new VirtualClock();
  const failures: string[] = [];
  const state: { workers: Registration[] } = { workers: [] };
  const file = new StateFile(path, {
    clock,
    snapshot: () => state.workers,
    onFailure: ({ message }) => failures.push(message),
  });
  return { file, clock, failures, state, path };
}

describe('the state file', () => {
  it('is empty while there is none, in a folder that is made', () => {
    const { file } = open(join(folder, 'deeper', 'still', 'state.json'));
    assert.deepEqual(file.read(), []);
    assert.ok(existsSync(join(folder, 'deeper', 'still')));
  });

  it('gives back what was saved, and is for its owner only', async () => {
    const { file, state, path } = open();
    state.workers = [registration('http://a:1'), registration('http://b:1@2')];
    file.save();
    await file.settled();
    assert.deepEqual(open(path).file.read(), state.workers);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  it('writes changes that come meanwhile together, and the last one in any case', async () => {
    const { file, state, path } = open();
    const waits: Promise<void>[] = [];
    for (let at = 0; at < 200; at += 1) {
      state.workers = [...state.workers, registration(`http://w${at}`)];
      file.save();
      const size = state.workers.length;
      waits.push(file.settled().then(() => assert.ok(open(path).file.read().length >= size)));
    }
    await Promise.all(waits);
    assert.equal(open(path).file.read().length, 200);
    await file.settled();
  });

  it('refuses a file that it cannot understand, and does not quote it', () => {
    for (const [text, words] of [
      ['', /not valid JSON/],
      ['{"version":1,"workers":[{"url":"http://a","api_key":"hidden', /not valid JSON/],
      ['[]', /cannot be used/],
      ['{"version":2,"workers":[]}', /version: expected 1: another version/],
      ['{"version":1}', /workers: missing/],
      ['{"version":1,"workers":[{"url":"http://a"},{"url":"hidden"}]}', /workers\[1\]\.url: expected a URL/],
      ['{"version":1,"workers":[{"url":"http://a","api_key":"hid den"}]}', /workers\[0\]\.api_key/],
    ] as const) {
      const { file, path } = open();
      writeFileSync(path, text);
      assert.throws(
        () => file.read(),
        (error: unknown) =>
          error instanceof StateFileError &&
          words.test(error.message) &&
          error.message.includes(path) &&
          /move it away/.test(error.message) &&
          !/hid ?den(?!\?)/.test(error.message.replace('did you mean http://hidden?', '')),
        text,
      );
      assert.equal(readFileSync(path, 'utf8'), text);
    }
  });

  it('cannot be a folder', () => {
    const { file } = open(folder);
    assert.throws(() => file.read(), StateFileError);
  });

  it('says that it cannot be written, keeps the old one, and tries again', async () => {
    const parent = join(folder, 'gone');
    mkdirSync(parent);
    const { file, clock, failures, state } = open(join(parent, 'state.json'));
    rmSync(parent, { recursive: true });
    state.workers = [registration('http://a')];
    file.save();
    await file.settled();
    assert.equal(failures.length, 1);
    assert.match(file.failure ?? '', /ENOENT/);
    assert.throws(() => file.assertWritten(), StateFileError);
    mkdirSync(parent);
    clock.advance(5_000);
    await file.settled();
    assert.equal(file.failure, undefined);
    assert.equal(file.read().length, 1);
    assert.equal(clock.pending, 0);
  });

  it('is not touched by a write that fails half-way', async () => {
    const { file, state, path } = open();
    state.workers = [registration('http://a')];
    file.save();
    await file.settled();
    // Where the new file would be written stands a folder.
    mkdirSync(`${path}.${process.pid}.tmp`);
    chmodSync(`${path}.${process.pid}.tmp`, 0o700);
    state.workers = [];
    file.save();
    await file.settled();
    assert.notEqual(file.failure, undefined);
    assert.equal(file.read().length, 1);
    rmSync(`${path}.${process.pid}.tmp`, { recursive: true });
    await file.close();
    assert.equal(file.read().length, 0);
  });
});
