import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from '../programs.ts';

export type InstalledEngine =
  | { readonly kind: 'installed'; readonly entry: string }
  /** The reason to skip by; it begins with `registry lacks` when nothing on this machine could have helped. */
  | { readonly kind: 'absent'; readonly reason: string };

const TOOLS = resolve(import.meta.dirname, '../../tools');
const MODULES = join(TOOLS, 'node_modules');
const ENTRY = join(MODULES, 'node-llama-cpp', 'dist', 'index.js');
/** Written last, so that an install cut short is done again. */
const STAMP = join(MODULES, '.installed-from');

/** The packages with the engine itself, compiled. Optional dependencies of node-llama-cpp, of which just one is needed. */
const BINARIES: Readonly<Record<string, string>> = {
  'linux-x64': '@node-llama-cpp/linux-x64',
  'linux-arm64': '@node-llama-cpp/linux-arm64',
  'darwin-x64': '@node-llama-cpp/mac-x64',
  'darwin-arm64': '@node-llama-cpp/mac-arm64-metal',
  'win32-x64': '@node-llama-cpp/win-x64',
  'win32-arm64': '@node-llama-cpp/win-arm64',
};

const NOT_THERE = /\b(E404|ETARGET|ENOVERSIONS)\b/;
const UNREACHABLE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/;

/**
 * Installs node-llama-cpp into tools/, as its lockfile says; some seconds the first time, nothing to do after that.
 * Platform packages differ between registries, which `npm ci` does not forgive: hence `npm install`, without optional
 * packages, and the one binary by name.
 */
export async function installEngine(): Promise<InstalledEngine> {
  const platform = `${process.platform}-${process.arch}`;
  const binary = BINARIES[platform];
  if (binary === undefined) return { kind: 'absent', reason: `node-llama-cpp has no engine for ${platform}` };
  const stamp = stampOf(platform);
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) return { kind: 'installed', entry: ENTRY };
  const version = engineVersion();
  const { status, stdout, stderr } = await run(
    'npm',
    [
      'install',
      '--no-save',
      '--omit=optional',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=1000',
      '--fetch-timeout=30000',
      `${binary}@${version}`,
    ],
    { cwd: TOOLS },
  );
  if (status !== 0)
    return { kind: 'absent', reason: reasonOf(`${stdout}\n${stderr}`, `${binary}@${version}`) };
  writeFileSync(STAMP, stamp);
  return { kind: 'installed', entry: ENTRY };
}

function engineVersion(): string {
  // The project's own manifest.
  const manifest = JSON.parse(readFileSync(join(TOOLS, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  return manifest.dependencies['node-llama-cpp'] ?? '';
}

function stampOf(platform: string): string {
  const hash = createHash('sha256');
  for (const file of ['package.json', 'package-lock.json']) hash.update(readFileSync(join(TOOLS, file)));
  return `${hash.digest('hex')} ${platform}\n`;
}

function reasonOf(output: string, what: string): string {
  if (NOT_THERE.test(output)) {
    const missing = /(?:No matching version found for |')((?:@[\w.-]+\/)?[\w.-]+@[\w^~-]+(?:\.\w+)*)/.exec(
      output,
    )?.[1];
    return `registry lacks ${missing ?? what}`;
  }
  if (UNREACHABLE.test(output)) return 'the npm registry cannot be reached';
  const last = output.trimEnd().split('\n').slice(-5).join(' | ');
  return `node-llama-cpp could not be installed: ${last}`;
}
