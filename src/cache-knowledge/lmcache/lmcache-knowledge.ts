import type { Clock } from '../../base/clock.ts';
import type { LmcacheSettings } from '../../config/settings/settings.ts';
import type { Holdings, OccupancyView, PolicyNeeds } from '../../routing/policy.ts';
import type { Roster } from '../../workers/roster.ts';
import type { ControllerDialect, Holding, LookupPrompt, Reading } from './controller.ts';
import { controllerDialect } from './controller-dialect.ts';
import type { ControllerStates } from './controller-state.ts';
import { CoordinatorDialect } from './coordinator-dialect.ts';
import { InstanceMap } from './instance-map.ts';
import type { LmcacheEvents, LookupOutcome } from './lmcache-events.ts';
import type { Lookups } from './lookups.ts';
import { PromptHoldings } from './prompt-holdings.ts';

/** A list that is older than so many periods says nothing any more. */
const STALE_PERIODS = 3;

export interface LmcacheDeps {
  readonly clock: Clock;
  readonly roster: Pick<Roster, 'workers' | 'at' | 'on'>;
  readonly states: ControllerStates;
  readonly lookups: Lookups;
  readonly events: LmcacheEvents;
}

/** What LMCache's controller knows, in the words of the router: workers in place of instances. */
export class LmcacheKnowledge implements OccupancyView {
  readonly #deps: LmcacheDeps;
  #settings: LmcacheSettings;
  #dialects: Readonly<Record<'controller' | 'coordinator', ControllerDialect>>;
  #map: InstanceMap | undefined;
  #chunks: ReadonlyMap<number, number> | undefined;
  #byPolicy = false;

  constructor(settings: LmcacheSettings, deps: LmcacheDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#dialects = dialectsOf(settings);
    deps.states.onState(() => {
      this.#changed();
    });
    deps.roster.on(({ type }) => {
      if (type === 'joined' || type === 'left' || type === 'traits') this.#changed();
    });
    this.#want();
  }

  /** Whoever serves the connections and asks for the list has been told already. */
  reconfigure(settings: LmcacheSettings): void {
    this.#settings = settings;
    this.#dialects = dialectsOf(settings);
    this.#changed();
    this.#want();
  }

  /** Whether a policy needs it, beside those that gain from it where it is configured. */
  set wantedByPolicy(wanted: boolean) {
    this.#byPolicy = wanted;
    this.#want();
  }

  /** Whether a policy with such needs is to know where a prompt is stored. */
  concerns({ lmcache }: PolicyNeeds): boolean {
    return lmcache === 'prompts' || (lmcache === 'if_configured' && this.#settings.forEveryPolicy);
  }

  /** Undefined where the controller did not say. Never rejects, and resolves within the time that a look-up may take. */
  async find(prompt: LookupPrompt, signal: AbortSignal): Promise<Holdings | undefined> {
    const { clock, events, states } = this.#deps;
    const { api } = states.state;
    const from = clock.now();
    const { outcome, holdings } =
      prompt.ids.length < this.#settings.chunkSize
        ? TOO_SHORT
        : api === undefined
          ? UNAVAILABLE
          : this.#isAboutNobody
            ? ABOUT_NOBODY
            : await this.#lookUp(this.#dialects[api], prompt, signal);
    if (outcome !== undefined) events.looked(outcome, clock.now() - from);
    return holdings;
  }

  chunks(): ReadonlyMap<number, number> | undefined {
    const { clock, states } = this.#deps;
    const { listedAt, reachable } = states.state;
    const { pollIntervalMs, timeoutMs } = this.#settings;
    if (listedAt === undefined || !reachable) return undefined;
    if (clock.now() - listedAt > STALE_PERIODS * pollIntervalMs + timeoutMs) return undefined;
    this.#chunks ??= this.#countChunks();
    return this.#chunks.size > 0 ? this.#chunks : undefined;
  }

  /** Finds out at once whose the instances are, and tells of those that are nobody's. */
  lookAtInstances(): void {
    this.#map ??= this.#makeMap();
  }

  /** How many of the listed instances belong to workers, and how many to nobody. */
  get instances(): Readonly<Record<'mapped' | 'unmapped' | 'ambiguous', number>> {
    const whys = [...this.#mapped.unmapped.values()];
    const ambiguous = whys.filter((why) => why === 'ambiguous').length;
    const unmapped = whys.length - ambiguous;
    return { mapped: this.#deps.states.state.instances.length - whys.length, unmapped, ambiguous };
  }

  /** Since the list was read; undefined where there is none. */
  get listAgeMs(): number | undefined {
    const { clock, states } = this.#deps;
    const { listedAt } = states.state;
    return listedAt === undefined ? undefined : clock.now() - listedAt;
  }

  async #lookUp(dialect: ControllerDialect, prompt: LookupPrompt, signal: AbortSignal): Promise<Found> {
    const lookup = await this.#deps.lookups.find(dialect, prompt, signal);
    if (lookup.kind === 'failed') {
      if (lookup.why === 'aborted') return { outcome: undefined, holdings: undefined };
      return { outcome: lookup.why, holdings: undefined };
    }
    const { reading } = lookup;
    if (reading.unread > 0) this.#deps.events.unread(reading.unread);
    const holdings = new PromptHoldings(reading, this.#mapped, {
      promptTokens: prompt.ids.length,
      isPresent: (at) => this.#deps.roster.at(at) !== undefined,
    });
    this.#askAboutUnknown(reading);
    if (holdings.held.length > 0) return { outcome: 'hit', holdings };
    return { outcome: reading.entries.length > 0 ? 'unmapped' : 'miss', holdings };
  }

  /** Whatever it answered, no worker would gain from it. A list that is not there yet says nothing. */
  get #isAboutNobody(): boolean {
    return this.#deps.states.state.instances.length > 0 && !this.#mapped.isOfUse;
  }

  #askAboutUnknown({ entries }: Reading<Holding>): void {
    if (entries.some(({ instance }) => !this.#mapped.knows(instance))) this.#deps.states.refresh();
  }

  get #mapped(): InstanceMap {
    this.#map ??= this.#makeMap();
    return this.#map;
  }

  #makeMap(): InstanceMap {
    const { states, roster, events } = this.#deps;
    const { api, instances } = states.state;
    const configured = this.#settings.workerMap;
    const map = new InstanceMap({ instances, workers: roster.workers, configured, api });
    events.mapped(map.unmapped);
    return map;
  }

  #countChunks(): ReadonlyMap<number, number> {
    const counts = new Map<number, number>();
    for (const { id, chunks } of this.#deps.states.state.instances) {
      if (chunks === undefined) continue;
      for (const { slot } of this.#mapped.workersOf(id))
        counts.set(slot, Math.max(chunks, counts.get(slot) ?? 0));
    }
    return counts;
  }

  #changed(): void {
    this.#map = undefined;
    this.#chunks = undefined;
  }

  #want(): void {
    this.#deps.states.want(this.#byPolicy || this.#settings.forEveryPolicy);
  }
}

interface Found {
  /** Undefined: nobody waits for it any more, and it counts as nothing. */
  readonly outcome: LookupOutcome | undefined;
  readonly holdings: Holdings | undefined;
}

const TOO_SHORT: Found = { outcome: 'short', holdings: undefined };
const UNAVAILABLE: Found = { outcome: 'unavailable', holdings: undefined };
const ABOUT_NOBODY: Found = { outcome: 'nobody', holdings: undefined };

export function dialectsOf(
  settings: LmcacheSettings,
): Readonly<Record<'controller' | 'coordinator', ControllerDialect>> {
  return { controller: controllerDialect, coordinator: new CoordinatorDialect(settings) };
}
