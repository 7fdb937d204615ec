import type { Clock } from '../base/clock.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { AuthSettings, TenantSettings } from '../config/settings/settings.ts';
import { Tenant } from './tenant.ts';

/**
 * The tenants by name and by the digest of their keys. What threads have in common of them is by name; control makes it, and so
 * takes over other settings before the other threads do.
 */
export class Tenants {
  readonly #clock: Clock;
  readonly #memory: ThreadMemory;
  #byName = new Map<string, Tenant>();
  #byDigest = new Map<string, Tenant>();

  constructor(auth: AuthSettings, clock: Clock, memory: ThreadMemory = ownMemory()) {
    this.#clock = clock;
    this.#memory = memory;
    this.reconfigure(auth);
  }

  /**
   * Other tenants from now on. Whose name stays keeps what it has spent, its counters and its requests; the others are
   * dropped, and requests that they have under way finish uncounted. Returns the names that are gone.
   */
  reconfigure(auth: AuthSettings): readonly string[] {
    const before = this.#byName;
    this.#byName = new Map();
    this.#byDigest = new Map();
    for (const settings of auth.kind === 'tenants' ? auth.tenants : []) {
      const tenant = this.#adopt(before.get(settings.name), settings);
      this.#byName.set(settings.name, tenant);
      for (const digest of settings.digests) this.#byDigest.set(digest, tenant);
    }
    const gone = [...before.keys()].filter((name) => !this.#byName.has(name));
    for (const name of gone) Tenant.forget(name, this.#memory);
    return gone;
  }

  /** For tenants whose limits are those of so many routers together: each has an equal share. */
  shareBy(routers: number): void {
    for (const tenant of this.#byName.values()) tenant.shareBy(routers);
  }

  /** What a thread that has died had of them is free. */
  reclaim(row: number): void {
    for (const tenant of this.#byName.values()) tenant.reclaim(row);
  }

  /**
   * Whose key has this SHA-256. How long the look-up takes tells something about the digests that are stored, and
   * nothing about the keys: whoever presents a key does not choose its digest.
   */
  withKey(sha256: string): Tenant | undefined {
    return this.#byDigest.get(sha256);
  }

  named(name: string): Tenant | undefined {
    return this.#byName.get(name);
  }

  /** In the order of the configuration. */
  all(): readonly Tenant[] {
    return [...this.#byName.values()];
  }

  #adopt(known: Tenant | undefined, settings: TenantSettings): Tenant {
    if (!known) return new Tenant(settings, this.#clock, this.#memory);
    known.reconfigure(settings);
    return known;
  }
}
