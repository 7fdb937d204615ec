import { MemberRow, slotsOf } from './fleet-rows.ts';
import { CACHE_SOURCES, type Holdings, type MatchKnowledge, type Pool } from './policy.ts';

const NONE = CACHE_SOURCES.indexOf('none');
const LMCACHE = CACHE_SOURCES.indexOf('lmcache');

/** What LMCache stores of one prompt for the members of a pool. The rows are used again with the next look. */
export class HeldMatches {
  readonly #tokens = new MemberRow();
  readonly #cpu = new MemberRow();
  readonly #disk = new MemberRow();
  #sources = new Uint8Array(0);

  /** Undefined where none of those that may be chosen stores any of it. */
  look(
    holdings: Holdings | undefined,
    pool: Pool,
  ): { readonly tokens: Float64Array; readonly knowledge: MatchKnowledge } | undefined {
    const held = holdings?.held ?? [];
    if (held.length === 0) return undefined;
    const { slots } = slotsOf(pool);
    const tokens = this.#tokens.of(pool);
    const cpu = this.#cpu.of(pool);
    const disk = this.#disk.of(pool);
    if (this.#sources.length !== slots.length) this.#sources = new Uint8Array(slots.length);
    let any = false;
    for (const [index, slot] of slots.entries()) {
      const isEligible = pool.mask[index] === 0;
      const entry = isEligible ? held.find((one) => one.slot === slot) : undefined;
      const count = entry?.tokens ?? 0;
      tokens[index] = isEligible ? count : NaN;
      cpu[index] = entry?.tier === 'cpu' ? count : 0;
      disk[index] = entry?.tier === 'disk' ? count : 0;
      this.#sources[index] = count > 0 ? LMCACHE : NONE;
      any ||= count > 0;
    }
    return any ? { tokens, knowledge: { sources: this.#sources, tiers: { cpu, disk } } } : undefined;
  }
}
