import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { problemLine } from '../../src/config/load/layer.ts';
import { loadConfig } from '../../src/config/load/load.ts';
import type { ConfigInput } from '../../src/config/schema/schema.ts';
import { adminOf, type AdminAnswer, type AdminCall } from './admin.ts';
import { startFleet, type Fleet, type FleetOptions } from './fleet.ts';

/** What a file says, the simulated workers aside. */
export interface FileConfig extends Omit<ConfigInput, 'policy'> {
  readonly policy?: unknown;
}

/** A router that was started from a configuration file. */
export interface FileFleet extends Fleet {
  /** The file, absolute. */
  readonly file: string;
  /** The URLs of the simulated workers. */
  readonly urls: readonly string[];
  readonly admin: AdminCall;
  /** Replaces what stands in the file; `worker_urls` are all simulated workers unless others are given. */
  write(config: FileConfig): void;
  writeText(text: string): void;
  /** POST /admin/reload. */
  reload(query?: string): Promise<AdminAnswer>;
}

/** Keys that keep a test quiet and on free ports; a test may override each. */
const QUIET = {
  port: 0,
  metrics: { port: 0 },
  slow_start_secs: 0,
  health_check: { check_interval_secs: 2_000_000 },
  load_check_interval_secs: 0,
  shutdown_timeout_secs: 5,
} satisfies ConfigInput;

export async function startFileFleet(
  first: FileConfig | ((urls: readonly string[]) => FileConfig) = {},
  options: Omit<FleetOptions, 'load' | 'router'> = {},
  adminKey?: string,
): Promise<FileFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'vllm-router-file-'));
  const file = join(folder, 'router.yaml');
  let urls: readonly string[] = [];
  const writeText = (text: string): void => {
    writeFileSync(file, text);
  };
  const write = (config: FileConfig): void => {
    writeText(stringify({ ...QUIET, worker_urls: urls, ...config }));
  };
  const reread = (): ReturnType<typeof loadConfig> =>
    loadConfig({ argv: ['--config-file=router.yaml'], env: {}, cwd: folder });
  const fleet = await startFleet({
    ...options,
    load: (workers) => {
      urls = workers.map(({ url }) => url);
      write(typeof first === 'function' ? first(urls) : first);
      const loaded = reread();
      if (loaded.kind === 'error') throw new Error(loaded.problems.map(problemLine).join('\n'));
      if (loaded.kind !== 'ok') throw new Error(loaded.kind);
      return { ...loaded, source: { file: 'router.yaml', files: [file], reread } };
    },
  }).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const admin = adminOf(fleet, adminKey);
  const stop = async (): Promise<void> => {
    await fleet.stop().finally(() => {
      rmSync(folder, { recursive: true, force: true });
    });
  };
  return {
    ...fleet,
    ...{ file, urls, admin, write, writeText, stop },
    reload: (query = '') => admin('POST', `/admin/reload${query}`),
    [Symbol.asyncDispose]: stop,
  };
}
