import type { Clock } from '../base/clock.ts';
import { SharedFlag } from '../base/shared-flag.ts';
import type { OwnPart, RequestPart, ThreadPart } from '../base/thread-part.ts';
import { OverrunCells } from '../base/overruns.ts';
import type { Random } from '../base/random.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import type { AdmissionSettings, Settings } from '../config/settings/settings.ts';
import { KeyServices } from '../engines/http/key-services.ts';
import type { ConnectionSettings, WorkerConnections } from '../engines/http/worker-connections.ts';
import { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import type { HookChain } from '../hooks/chain.ts';
import { BodyBytes } from '../http/body.ts';
import { ClientSeats } from '../http/client-seats.ts';
import { TicketKeys } from '../http/ticket-keys.ts';
import type { Door } from '../limits/door.ts';
import { openDoor } from '../limits/open-door.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { reportTrouble } from '../plugins/report-trouble.ts';
import { Clients } from '../request/arrive/clients.ts';
import type { DecisionRing } from '../request/record/decision-ring.ts';
import type { Policies } from '../request/choose/policies.ts';
import type { ResourceOwners } from '../request/choose/resource-owners.ts';
import type { Runtime } from '../request/runtime.ts';
import { Profiles } from '../request/send/profiles.ts';
import { parseHashKeySource, type FreshIdWatch } from '../routing/hash-key.ts';
import { CacheTallies } from '../cache-knowledge/accuracy/tallies.ts';
import { AnsweredPrompts } from '../routing/answered-prompts.ts';
import type { TokenRatio } from '../routing/token-ratio.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { openRegistry } from '../workers/open-registry.ts';
import type { RegistryReplica } from '../workers/registry-replica.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Roster } from '../workers/roster.ts';
import { SaidLately } from '../base/said-lately.ts';
import { OwnRoutes } from '../workers/own-routes.ts';
import { CoolDowns } from '../workers/cool-downs.ts';
import { PairRests } from '../workers/pair-rests.ts';
import { Transfers } from '../workers/transfers.ts';
import { RetryBudget } from '../workers/retry-budget.ts';
import { WorkerWait } from '../workers/worker-wait.ts';
import type { OpenAnswerCache } from './open-answer-cache.ts';
import { indexBounds, openPolicies } from './open-policies.ts';
import { openHooks } from './open-hooks.ts';
import { openLmcache, type OpenLmcache } from './open-lmcache.ts';
import { openConnections } from './open-connections.ts';
import { openKnowledge } from './shared-knowledge.ts';
import { openArrivals, type OpenArrivals } from './open-arrivals.ts';
import { openEvents, type OpenEvents } from './open-events.ts';
import { openSemantic, type OpenSemantic } from './open-semantic.ts';
import { openTokens, type OpenTokens } from './open-tokens.ts';
import type { OpenTenantBooks } from './open-tenant-books.ts';
import type { OpenReplicas } from './open-replicas.ts';
import { openCommonKnowledge, type Sharing } from './common-knowledge.ts';
import { openSharing } from './open-sharing.ts';
import { openProcessView, type ProcessView } from './process-view.ts';
import { reportShortages } from './shortages.ts';
import { withinDescriptors, type DescriptorPlan } from './descriptors.ts';

/** What all runtimes of one router have in common: whatever is counted, learnt or held. It outlives a reload. */
export interface SharedState<Workers extends Roster = Roster> {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly ledger: LoadLedger;
  readonly registry: Workers;
  readonly connections: WorkerConnections;
  readonly policies: Policies;
  readonly hooks: HookChain;
  readonly freshIds: FreshIdWatch;
  readonly tokenRatio: TokenRatio;
  readonly openTokens: OpenTokens;
  readonly openAnswers: OpenAnswerCache;
  readonly openEvents: OpenEvents;
  readonly lmcache: OpenLmcache;
  readonly semantic: OpenSemantic;
  readonly arrivals: OpenArrivals;
  readonly answered: AnsweredPrompts;
  readonly tallies: CacheTallies;
  readonly keyServices: KeyServices;
  readonly clients: Clients;
  readonly admission: Door;
  readonly workerWait: WorkerWait;
  readonly retryBudget: RetryBudget;
  readonly bodyBytes: BodyBytes;
  readonly descriptors: DescriptorPlan;
  readonly seats: ClientSeats;
  readonly ticketKeys: TicketKeys;
  readonly sockets: OutboundSockets;
  readonly onShortage: ReturnType<typeof reportShortages>;
  readonly owners: ResourceOwners;
  readonly transfers: Transfers;
  readonly coolDowns: CoolDowns;
  readonly providersSaid: SaidLately;
  readonly pairRests: PairRests;
  readonly pairsSaid: SaidLately;
  readonly profiles: Profiles;
  readonly ownRoutes: OwnRoutes;
  readonly decisions: DecisionRing;
  readonly decisionLog: ProcessView['decisionLog'];
  readonly view: ProcessView;
  /** Up while one of the threads is not heard of. */
  readonly threadMissing: SharedFlag;
  readonly sharing: Sharing;
  readonly replicas: OpenReplicas;
  readonly tenantBooks: OpenTenantBooks;
  readonly stopping: () => boolean;
  /** The settings that are in force; written by `adoptSettings` alone. */
  settings: Settings;
}

/** Its name in the memory that threads share. */
export const THREAD_MISSING = 'threads:missing';

type StateDeps<Part extends ThreadPart> = Pick<
  SharedState,
  'clock' | 'random' | 'log' | 'stopping' | 'descriptors'
> & { readonly part: Part; readonly plugins: KnownPlugins };

/** In a request thread the registry is a copy, which is empty until it has been started. */
export function openState(settings: Settings, deps: StateDeps<OwnPart>): SharedState<WorkerRegistry>;
export function openState(settings: Settings, deps: StateDeps<RequestPart>): SharedState<RegistryReplica>;
export function openState(settings: Settings, { plugins, ...deps }: StateDeps<ThreadPart>): SharedState {
  const { part, clock, random, log, descriptors } = deps;
  const ledger = new LoadLedger(clock, { part });
  const registry = openRegistry(part, { clock, ledger, ...settings });
  const view = openProcessView(settings, { ...deps, connections: () => bounded.seats.takenHere });
  const { metrics, decisions, decisionLog } = view;
  const bodyBytes = new BodyBytes(settings.listen.maxInflightBodyBytes, part.memory);
  const bounded = openSockets(descriptors, part, { metrics, log, clock });
  const { sockets } = bounded;
  const { pool } = connectionSettings(settings);
  const keyServices = new KeyServices(clock, pool, sockets);
  const sharing = openCommonKnowledge(settings, { part, clock, random, log, metrics });
  const { stores } = sharing;
  const { shareFor, ...knowledge } = openKnowledge(part, clock, sharing);
  const onPluginTrouble = reportTrouble({ clock, log, metrics });
  const guard = { onPluginTrouble, overruns: new OverrunCells(part.memory) };
  let inForce = (): Settings => settings;
  const connections = openConnections(connectionSettings(settings), { part, clock, sockets });
  const lmcache = openLmcache(settings.lmcache, { ...deps, roster: registry, metrics, sockets, pool });
  const events = openEvents({ part, clock, random, log, metrics, registry, settings: () => inForce() });
  const state: SharedState = {
    ...deps,
    ...{ settings, ledger, metrics, registry, connections, sharing },
    openTokens: openTokens({ ...deps, metrics, registry, connections, stores, settings: () => inForce() }),
    policies: openPolicies(settings, {
      ...{ ...deps, ledger, registry, metrics, lmcache, events, shareFor, guard, plugins },
      prefixesFor: sharing.prefixes.hintsFor,
      inForce: () => inForce(),
      onRouted: (record) => {
        state.replicas.placed(record);
      },
    }),
    hooks: openHooks(settings.hooks, {
      ...{ clock, log, metrics, sockets, ...guard, bytes: bodyBytes, rows: part.memory.rows },
      pool: () => connectionSettings(inForce()).pool,
    }),
    ...knowledge,
    ...{ lmcache, keyServices, openEvents: events },
    semantic: openSemantic(settings.semantic, {
      ...{ ...deps, metrics, sockets, pool, runtime: () => runtimeOf(state, state.settings) },
      links: () => stores.links,
    }),
    arrivals: openArrivals({ part, clock, metrics, settings: () => inForce() }),
    ...{ answered: new AnsweredPrompts(part.memory), tallies: new CacheTallies(part.memory) },
    ...{ ...partnersOf(part, clock), profiles: new Profiles({ ...deps, metrics, registry, connections }) },
    ...limitsOf(settings, { ...deps, registry, keyServices }),
    ...bounded,
    ...{ ownRoutes: new OwnRoutes(), bodyBytes, view, decisions, decisionLog },
    ticketKeys: new TicketKeys(part.memory),
    threadMissing: new SharedFlag(deps.part.memory, THREAD_MISSING),
    ...openSharing({
      ...{ ...deps, metrics, registry, ledger, links: stores.links, settings: () => inForce() },
      ...{ index: () => state.policies.index, tenants: () => state.clients.tenants },
    }),
  };
  inForce = () => state.settings;
  if (part.kind === 'control') part.channels.onEnded((row) => reclaim(state, row));
  return state;
}

/** A request thread has died: what it held of what threads share is free. The door does so by itself, after sending its waiters away. */
function reclaim(state: SharedState, row: number): void {
  const { clients, workerWait, bodyBytes, seats, sockets, profiles } = state;
  for (const part of [clients.tenants, workerWait, bodyBytes, seats, sockets, profiles]) part.reclaim(row);
}

/** Who may come in, and how often anything is tried. */
function limitsOf(
  settings: Settings,
  { registry, keyServices, ...deps }: LimitDeps,
): Pick<SharedState, 'clients' | 'admission' | 'workerWait' | 'retryBudget'> {
  const { part, clock } = deps;
  return {
    clients: new Clients(settings.clients.auth, clock, keyServices.ask, part),
    admission: openDoor(doorSettings(settings, deps), clock, part),
    workerWait: new WorkerWait({ registry, clock, most: settings.admission.queueSize, ...part }),
    retryBudget: new RetryBudget(clock, budgetOf(settings), part.memory),
  };
}

type LimitDeps = Pick<SharedState, 'part' | 'clock' | 'log' | 'descriptors' | 'registry' | 'keyServices'>;

function openSockets(
  { perSide, outbound, standing }: DescriptorPlan,
  { memory }: ThreadPart,
  deps: Parameters<typeof reportShortages>[0],
): Pick<SharedState, 'onShortage' | 'sockets' | 'seats'> {
  const onShortage = reportShortages(deps);
  return {
    onShortage,
    sockets: new OutboundSockets(outbound, onShortage, memory),
    seats: new ClientSeats(perSide, deps.clock, memory, standing),
  };
}

/** What a request sees: these settings, and the state that all requests share. */
export function runtimeOf<Workers extends Roster>(
  state: SharedState<Workers>,
  settings: Settings,
): Runtime & Pick<SharedState<Workers>, 'registry'> {
  const {
    connections,
    openTokens: tokens,
    openEvents: _events,
    openAnswers,
    lmcache,
    arrivals,
    ...shared
  } = state;
  return {
    ...shared,
    settings,
    answerCache: openAnswers.cache,
    get answersByMeaning() {
      return state.semantic.byMeaning;
    },
    tokens: tokens.source,
    lmcache: lmcache.knowledge,
    arrivals: arrivals.knowledge,
    get cacheIndex() {
      return state.policies.index;
    },
    hashKeySources: settings.hashKey
      .map((text) => parseHashKeySource(text))
      .filter((source) => source !== undefined),
    clientOf: ({ spec }) => connections.clientOf(spec),
    versionOf: ({ spec }) => connections.versionOf(spec),
  };
}

/** Ends what goes out to workers and services; what is under way finishes. */
export async function closeOutbound(state: SharedState): Promise<void> {
  const { connections, lmcache, keyServices, hooks } = state;
  for (const part of [connections, lmcache, keyServices, hooks]) part.close();
  await Promise.all([
    state.openAnswers.close(),
    state.sharing.close(),
    state.replicas.close(),
    state.semantic.close(),
    state.tenantBooks.close(),
    state.openTokens.close(),
    state.openEvents.close(),
    state.arrivals.close(),
  ]);
}

/** Every part takes over its new settings and keeps what it knows. Nothing in here can fail. */
export function adoptSettings(state: SharedState, settings: Settings): void {
  state.settings = settings;
  state.registry.reconfigure(settings);
  state.connections.reconfigure(connectionSettings(settings));
  state.policies.reconfigure(settings);
  state.policies.index?.reconfigure(indexBounds(settings));
  state.openTokens.reconfigure(settings.tokens);
  state.openEvents.reconfigure();
  state.openAnswers.reconfigure(settings.answerCache);
  state.lmcache.reconfigure(settings.lmcache);
  state.semantic.reconfigure(settings.semantic);
  state.sharing.reconfigure(settings);
  state.replicas.reconfigure();
  state.tenantBooks.reconfigure(settings);
  state.hooks.reconfigure(settings.hooks);
  state.admission.reconfigure(doorSettings(settings, state));
  state.workerWait.reconfigure({ most: settings.admission.queueSize });
  state.retryBudget.reconfigure(budgetOf(settings));
  adoptClients(state, settings);
  state.bodyBytes.reconfigure(settings.listen.maxInflightBodyBytes);
  state.decisions.reconfigure(settings.decisionRing);
  if (settings.decisionLog) state.decisionLog?.reconfigure(settings.decisionLog);
}

/** The series of tenants that are gone disappear. */
function adoptClients({ clients, keyServices, metrics }: SharedState, settings: Settings): void {
  const { auth } = settings.clients;
  for (const name of clients.reconfigure(auth)) metrics.registry.retire('tenant', name);
  if (auth.kind === 'tenants') for (const { name } of auth.tenants) metrics.registry.revive('tenant', name);
  keyServices.keepOnly(auth.kind === 'remote' ? auth.urls : []);
}

function connectionSettings({ timeouts, listen, health, workerTls: tls }: Settings): ConnectionSettings {
  return { pool: { connectMs: timeouts.connectMs, maxHeaderSize: listen.maxHeaderSize }, tls, health };
}

/** Request threads keep to what control says, which says it in the log as well. */
function doorSettings(
  { admission }: Settings,
  { part, descriptors, log }: Pick<SharedState, 'part' | 'descriptors' | 'log'>,
): AdmissionSettings {
  return part.kind === 'request' ? admission : withinDescriptors(admission, descriptors, log);
}

function budgetOf({ retry }: Settings): { ratio: number; floor: number } {
  return { ratio: retry.budgetRatio, floor: retry.budgetFloor };
}

/** What is known of pairs of workers, and of providers outside of the fleet. */
function partnersOf(
  { memory }: ThreadPart,
  clock: Clock,
): Pick<SharedState, 'transfers' | 'pairRests' | 'pairsSaid' | 'coolDowns' | 'providersSaid'> {
  return {
    ...{ transfers: new Transfers(), pairRests: new PairRests(clock), pairsSaid: new SaidLately(clock) },
    ...{ coolDowns: new CoolDowns(memory), providersSaid: new SaidLately(clock) },
  };
}
