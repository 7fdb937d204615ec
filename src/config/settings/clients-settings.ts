import { systemReason } from '../../base/system-reason.ts';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CheckProblem } from '../schema/check-problem.ts';
import { digestOf, hashed, isClientKey, sha256Of } from '../schema/client-key.ts';
import { ms } from './ms.ts';
import type { Config } from '../schema/schema.ts';
import type { AuthSettings, ClientSettings, TenantSettings } from './settings.ts';

/** An unknown key may become known at any time; one that was refused is not asked about for this long at most. */
const LONGEST_REFUSAL_MS = 10_000;

export const OPEN: ClientSettings = { auth: { kind: 'open' }, usageInjection: 'when_needed' };

export interface ClientReading {
  readonly settings: ClientSettings;
  readonly problems: readonly CheckProblem[];
  readonly notices: readonly string[];
  /** Absolute paths of what was read, or looked for. */
  readonly files: readonly string[];
}

/** Compiles who may call, files with keys included, and sees whether it fits together. Keys are never quoted. */
export function readClients(config: Config, cwd: string): ClientReading {
  const reader = new TenantReader(config, cwd);
  const tenants = config.api_keys.map((tenant, index) => reader.read(tenant, index));
  reader.checkKeyForAll();
  const { problems, files } = reader;
  const auth = authSettings(config, tenants);
  const settings = { auth, usageInjection: config.usage_injection };
  return { settings, problems, files, notices: unusedWays(config) };
}

function authSettings(config: Config, tenants: readonly TenantSettings[]): AuthSettings {
  if (tenants.length > 0) return { kind: 'tenants', tenants };
  if (config.inbound_api_key !== undefined)
    return { kind: 'one_key', sha256: digestOf(config.inbound_api_key) };
  if (config.api_key_validation_urls.length === 0) return { kind: 'open' };
  const ttlMs = ms(config.api_key_validation_ttl_secs);
  return {
    kind: 'remote',
    urls: config.api_key_validation_urls,
    ttlMs,
    refusalTtlMs: Math.min(ttlMs, LONGEST_REFUSAL_MS),
    timeoutMs: ms(config.api_key_validation_timeout_secs),
  };
}

/** Of several ways to check keys the first one decides alone. */
function unusedWays(config: Config): string[] {
  const ways = [
    ['api_keys', config.api_keys.length > 0],
    ['inbound_api_key', config.inbound_api_key !== undefined],
    ['api_key_validation_urls', config.api_key_validation_urls.length > 0],
  ] as const;
  const [first, ...others] = ways.filter(([, given]) => given).map(([name]) => name);
  return others.map((name) => `${name} is not used: ${first ?? ''} decides alone`);
}

type TenantConfig = Config['api_keys'][number];

/** A key and where it stands. */
interface FoundKey {
  readonly sha256: string;
  /** Below the tenant. */
  readonly inside: readonly PropertyKey[];
}

/** Reads one tenant after the other, and notices what two of them have in common. */
class TenantReader {
  readonly problems: CheckProblem[] = [];
  readonly files: string[] = [];
  readonly #config: Config;
  readonly #cwd: string;
  readonly #adminDigest: string | undefined;
  readonly #names = new Set<string>();
  readonly #owners = new Map<string, string>();

  constructor(config: Config, cwd: string) {
    this.#config = config;
    this.#cwd = cwd;
    this.#adminDigest = config.admin_api_key === undefined ? undefined : sha256Of(config.admin_api_key);
  }

  read(tenant: TenantConfig, index: number): TenantSettings {
    const at = (...inside: PropertyKey[]): PropertyKey[] => ['api_keys', index, ...inside];
    const { name } = tenant;
    if (this.#names.has(name)) {
      const message = `expected every name once (several keys of one tenant stand in keys), got ${JSON.stringify(name)} again`;
      this.problems.push({ path: at('name'), message });
    }
    this.#names.add(name);
    const keys = this.#keysOf(tenant, at('key_file'));
    for (const { sha256, inside } of keys) {
      const owner = this.#owners.get(sha256);
      this.#owners.set(sha256, name);
      if (owner !== undefined) {
        const message = `expected every key once, got one that ${JSON.stringify(owner)} has`;
        this.problems.push({ path: at(...inside), message });
      } else this.#checkAdmin(sha256, at(...inside));
    }
    return {
      name,
      digests: keys.map(({ sha256 }) => sha256),
      enabled: tenant.enabled,
      // As the reference router has it.
      ratePerSecond: tenant.rate_limit_rps === 0 ? 1 : tenant.rate_limit_rps,
      maxConcurrent: tenant.max_concurrent,
      tokensPerMinute: tenant.tokens_per_minute,
      allowedModels: tenant.allowed_models,
      priorityClass: tenant.priority_class,
      metadata: tenant.metadata,
      allowExternal: tenant.allow_external,
    };
  }

  checkKeyForAll(): void {
    const { inbound_api_key: key } = this.#config;
    if (key !== undefined) this.#checkAdmin(digestOf(key), ['inbound_api_key']);
  }

  /** A client with the admin key would be an operator. */
  #checkAdmin(sha256: string, path: readonly PropertyKey[]): void {
    if (sha256 === this.#adminDigest)
      this.problems.push({ path, message: 'expected another key than admin_api_key' });
  }

  #keysOf(tenant: TenantConfig, at: readonly PropertyKey[]): FoundKey[] {
    const { key, keys, key_sha256: sha256, key_file: file } = tenant;
    if (key !== undefined) return [{ sha256: digestOf(key), inside: ['key'] }];
    if (sha256 !== undefined) return [{ sha256, inside: ['key_sha256'] }];
    if (keys) return keys.map((one, index) => ({ sha256: digestOf(one), inside: ['keys', index] }));
    return file === undefined ? [] : this.#keysIn(file, at);
  }

  /** One key, or `sha256:` and its digest, per line. */
  #keysIn(file: string, path: readonly PropertyKey[]): FoundKey[] {
    const absolute = resolve(this.#cwd, file);
    this.files.push(absolute);
    let text: string;
    try {
      text = readFileSync(absolute, 'utf8');
    } catch (error) {
      const message = `${file} cannot be read: ${systemReason(error)}`;
      this.problems.push({ path, message, unreadable: true });
      return [];
    }
    const found: FoundKey[] = [];
    text.split('\n').forEach((line, index) => {
      const key = line.trim();
      if (key === '' || key.startsWith('#')) return;
      if (isClientKey(key)) found.push({ sha256: digestOf(hashed(key)), inside: ['key_file'] });
      else
        this.problems.push({
          path,
          message: `expected a key of visible ASCII characters in line ${index + 1} of ${file}`,
        });
    });
    if (found.length === 0) this.problems.push({ path, message: `expected a key in ${file}, got none` });
    return found;
  }
}
