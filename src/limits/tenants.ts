import type { Clock } from '../base/clock.ts';
import type { AuthSettings, TenantSettings } from '../config/settings/settings.ts';
import { Tenant } from './tenant.ts';

/** The tenants by name and by the digest of their keys. */
export class Tenants {
  readonly #clock: Clock;
  #byName = new Map<string, Tenant>();
  #byDigest = new Map<string, Tenant>();

  constructor(auth: AuthSettings, clock: Clock) {
    this.#clock = clock;
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
    return [...before.keys()].filter((name) => !this.#byName.has(name));
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
    if (!known) return new Tenant(settings, this.#clock);
    known.reconfigure(settings);
    return known;
  }
}
