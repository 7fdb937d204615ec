import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/system-clock.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { silentLog } from '../observe/log.ts';
import { ConfigWatch } from './config-watch.ts';

interface Bench {
  readonly dir: string;
  readonly path: (name: string) => string;
  /** How often a change was noticed. */
  readonly noticed: () => number;
  /** Resolves at the next notice, or at one that has come already. */
  readonly next: () => Promise<void>;
  readonly watch: (...files: string[]) => ConfigWatch;
}

function setUp(t: TestContext, clock: Clock = systemClock): Bench {
  const dir = mkdtempSync(join(tmpdir(), 'vllm-router-watch-'));
  let count = 0;
  let taken = 0;
  let wake = (): void => undefined;
  const path = (name: string): string => join(dir, name);
  return {
    dir,
    path,
    noticed: () => count,
    next: async () => {
      taken += 1;
      if (count < taken) await new Promise<void>((resolve) => (wake = resolve));
    },
    watch: (...files) => {
      const onChange = (): void => {
        count += 1;
        wake();
      };
      const watch = new ConfigWatch({ files: files.map(path), clock, log: silentLog, onChange });
      watch.start();
      t.after(() => {
        watch.stop();
        rmSync(dir, { recursive: true, force: true });
      });
      return watch;
    },
  };
}

describe('a watched configuration', () => {
  it('is noticed when it is written, and when it is replaced', async (t) => {
    const bench = setUp(t);
    writeFileSync(bench.path('a.yaml'), 'one');
    bench.watch('a.yaml');
    writeFileSync(bench.path('a.yaml'), 'two');
    await bench.next();
    writeFileSync(bench.path('a.yaml.tmp'), 'three');
    renameSync(bench.path('a.yaml.tmp'), bench.path('a.yaml'));
    await bench.next();
    assert.equal(bench.noticed(), 2);
  });

  it('is noticed when the kubelet swaps the folder behind it', async (t) => {
    const bench = setUp(t);
    const swap = (name: string, text: string): void => {
      mkdirSync(bench.path(name));
      writeFileSync(bench.path(`${name}/router.yaml`), text);
      symlinkSync(name, bench.path('..data_tmp'));
      renameSync(bench.path('..data_tmp'), bench.path('..data'));
    };
    swap('..2026_1', 'one');
    symlinkSync('..data/router.yaml', bench.path('router.yaml'));
    bench.watch('router.yaml');
    swap('..2026_2', 'two');
    rmSync(bench.path('..2026_1'), { recursive: true });
    await bench.next();
    swap('..2026_3', 'three');
    await bench.next();
    assert.equal(bench.noticed(), 2);
  });

  it('is looked at now and then where nothing tells of changes', (t) => {
    const clock = new VirtualClock();
    const bench = setUp(t, clock);
    writeFileSync(bench.path('a.yaml'), 'one');
    bench.watch('a.yaml');
    clock.advance(100_000);
    assert.equal(bench.noticed(), 0);
    writeFileSync(bench.path('a.yaml'), 'two');
    clock.advance(31_000);
    assert.equal(bench.noticed(), 1);
    clock.advance(100_000);
    assert.equal(bench.noticed(), 1);
  });

  it('is polled where its folder cannot be watched', (t) => {
    const clock = new VirtualClock();
    const bench = setUp(t, clock);
    bench.watch('later/a.yaml');
    mkdirSync(bench.path('later'));
    writeFileSync(bench.path('later/a.yaml'), 'one');
    clock.advance(2_500);
    assert.equal(bench.noticed(), 1);
  });

  it('is taken only when it has come to rest, and not while it is gone', (t) => {
    const clock = new VirtualClock();
    const bench = setUp(t, clock);
    writeFileSync(bench.path('a.yaml'), 'one');
    bench.watch('a.yaml');
    rmSync(bench.path('a.yaml'));
    clock.advance(100_000);
    writeFileSync(bench.path('a.yaml'), 'half');
    clock.advance(20_050);
    // Seen once: it may still be being written.
    writeFileSync(bench.path('a.yaml'), 'whole');
    clock.advance(250);
    assert.equal(bench.noticed(), 0);
    clock.advance(1_000);
    assert.equal(bench.noticed(), 1);
  });

  it('is not told of the same content written again', (t) => {
    const clock = new VirtualClock();
    const bench = setUp(t, clock);
    writeFileSync(bench.path('a.yaml'), 'one');
    bench.watch('a.yaml');
    writeFileSync(bench.path('a.yaml'), 'one');
    clock.advance(100_000);
    assert.equal(bench.noticed(), 0);
  });

  it('counts with all files, and with none after the end', (t) => {
    const clock = new VirtualClock();
    const bench = setUp(t, clock);
    writeFileSync(bench.path('a.yaml'), 'one');
    writeFileSync(bench.path('.env'), 'X=1');
    const watch = bench.watch('a.yaml', '.env');
    writeFileSync(bench.path('.env'), 'X=2');
    clock.advance(31_000);
    assert.equal(bench.noticed(), 1);
    watch.stop();
    writeFileSync(bench.path('.env'), 'X=3');
    clock.advance(100_000);
    assert.equal(bench.noticed(), 1);
  });
});
