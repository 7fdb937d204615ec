import { VirtualClock } from '../../base/virtual-clock.ts';
import type { IncomingKv, Sequence } from '../../sim/engine/sequence.ts';
import type { Trace, TraceRequest } from '../traces/trace.ts';
import { WorkerModel } from '../../sim/engine/worker-model.ts';
import { EngineEvents } from './engine-events.ts';
import type { EngineAccess } from './engine-snapshots.ts';
import { MAX_ATTEMPTS, type FleetPlan } from './fleet-plan.ts';
import { KvLinks } from './kv-links.ts';
import { LoadSampler, type LoadSamples } from './load-samples.ts';
import { Outcomes } from './outcomes.ts';
import { SimBus } from './sim-bus.ts';
import { SimRouter, type Dispatch } from './sim-router.ts';

/** What a message between routers takes: out to a server nearby, and back. */
const SHARE_DELAY_MS = 1;

interface Engine {
  readonly id: string;
  readonly model: WorkerModel;
  /** What it tells of its caches; undefined where it tells nothing. */
  readonly events: EngineEvents | undefined;
  /** What runs there: ended all at once when it dies. */
  readonly open: Set<Visit>;
  isDead: boolean;
}

/** One request on its way. */
interface Visit {
  readonly place: number;
  readonly request: TraceRequest;
  readonly router: SimRouter;
  readonly arrivedAt: number;
  readonly tried: Set<number>;
  dispatch: Dispatch | undefined;
  /** What gives back the blocks that a prefill engine keeps for it. */
  handedOver: (() => void) | undefined;
}

export interface RunResult {
  readonly outcomes: Outcomes;
  /** Virtual time from the first arrival to the last end, ms. */
  readonly durationMs: number;
  /** Prompt tokens computed (not found cached) by each engine. */
  readonly computedTokens: readonly number[];
  readonly generatedTokens: readonly number[];
  readonly preemptions: number;
  /** Whether requests could be split. */
  readonly hasPairs: boolean;
  /** Requests on each engine over time. */
  readonly load: LoadSamples;
  /** Books of the routers that nobody closed; 0 unless something is wrong. */
  readonly openLeases: number;
}

/** A fleet in virtual time: events in order, nothing sleeps. */
export class Simulation {
  readonly #plan: FleetPlan;
  readonly #trace: Trace;
  readonly #clock = new VirtualClock(0);
  readonly #engines: readonly Engine[];
  readonly #byId = new Map<string, number>();
  readonly #routers: readonly SimRouter[];
  readonly #outcomes: Outcomes;
  readonly #sampler: LoadSampler;
  readonly #links: KvLinks;
  #next = 0;
  #open = 0;

  constructor(trace: Trace, plan: FleetPlan) {
    this.#plan = plan;
    this.#trace = trace;
    this.#outcomes = new Outcomes(trace.requests.length);
    this.#engines = plan.workers.map(({ id: named, settings }, index) => {
      const id = named ?? `http://worker-${String(index)}`;
      this.#byId.set(id, index);
      const model = new WorkerModel(settings, this.#clock, 'change');
      const events = publishes(plan, index) ? new EngineEvents(model) : undefined;
      return { id, model, events, open: new Set(), isDead: false };
    });
    this.#links = new KvLinks(this.#clock, plan.transferTokensPerSecond ?? Infinity);
    this.#sampler = new LoadSampler(this.#engines.length, (trace.requests.at(-1)?.at ?? 0) / plan.speed);
    const engineOf = (id: string): Engine | undefined => this.#engines[this.#byId.get(id) ?? -1];
    const engines: EngineAccess = {
      modelOf: (id) => engineOf(id)?.model,
      eventsOf: (id) => engineOf(id)?.events,
      busy: () => this.#open > 0 || this.#next < trace.requests.length,
    };
    const bus =
      (plan.shareIntervalMs ?? 0) > 0 && plan.routers > 1
        ? new SimBus(this.#clock, SHARE_DELAY_MS)
        : undefined;
    this.#routers = Array.from(
      { length: plan.routers },
      (_, index) => new SimRouter(plan, this.#clock, engines, plan.seed + 7919 * index, bus),
    );
  }

  /** Share of the requests that have arrived, for showing progress. */
  get progress(): number {
    return this.#trace.requests.length === 0 ? 1 : this.#next / this.#trace.requests.length;
  }

  /** Runs everything, `slice` events at a time: between the slices others may work. */
  *steps(slice = 50_000): Generator<void, RunResult> {
    this.#begin();
    let count = 0;
    while (this.#open > 0 || this.#next < this.#trace.requests.length) {
      if (!this.#clock.step()) break;
      if (++count % slice === 0) yield;
    }
    return {
      outcomes: this.#outcomes,
      durationMs: this.#clock.now(),
      computedTokens: this.#engines.map(
        ({ model: { stats } }) => stats.prefixCacheQueries - stats.prefixCacheHits - stats.externalCacheHits,
      ),
      generatedTokens: this.#engines.map(({ model: { stats } }) => stats.generationTokens),
      preemptions: this.#engines.reduce((sum, { model }) => sum + model.stats.preemptions, 0),
      hasPairs: this.#plan.pairs !== undefined,
      load: this.#sampler.samples(),
      openLeases: this.#routers.reduce((sum, { ledger }) => sum + ledger.openLeases, 0),
    };
  }

  run(): RunResult {
    const steps = this.steps();
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  #begin(): void {
    for (const [index, { joinsAtMs = 0, diesAtMs, role }] of this.#plan.workers.entries()) {
      const engine = this.#engines[index];
      if (engine === undefined) continue;
      const join = (): void => {
        for (const router of this.#routers) router.join(engine.id, role);
      };
      // One that dies before it joins never does.
      if (diesAtMs !== undefined && diesAtMs <= joinsAtMs) continue;
      if (joinsAtMs > 0) this.#clock.after(joinsAtMs, join);
      else join();
      if (diesAtMs !== undefined) this.#clock.after(diesAtMs, () => this.#kill(index, engine));
    }
    this.#clock.after(this.#sampler.intervalMs, () => this.#sampleLoad());
    if (this.#plan.pollIntervalMs > 0) this.#clock.after(this.#plan.pollIntervalMs, () => this.#poll());
    this.#awaitNext();
  }

  #awaitNext(): void {
    const request = this.#trace.requests[this.#next];
    if (request === undefined) return;
    this.#clock.after(Math.max(0, request.at / this.#plan.speed - this.#clock.now()), () => {
      const place = this.#next++;
      const router = this.#routers[place % this.#routers.length];
      if (router === undefined) throw new Error('a fleet needs a router');
      this.#open += 1;
      this.#send({
        ...{ place, request, router, arrivedAt: this.#clock.now(), tried: new Set() },
        ...{ dispatch: undefined, handedOver: undefined },
      });
      this.#awaitNext();
    });
  }

  #send(visit: Visit): void {
    const { router, request, place, tried } = visit;
    const dispatch = router.dispatch(request, tried);
    this.#outcomes.attempts[place] = (this.#outcomes.attempts[place] ?? 0) + 1;
    const index = this.#indexOf(dispatch?.worker);
    const engine = this.#engines[index];
    if (dispatch === undefined || engine === undefined) {
      this.#outcomes.worker[place] = -1;
      this.#open -= 1;
      return;
    }
    visit.dispatch = dispatch;
    const { promptTokens, outputTokens } = request;
    const { maxModelLen } = engine.model.settings;
    if (promptTokens < 1 || promptTokens + outputTokens > maxModelLen) {
      router.release(dispatch, request);
      this.#open -= 1;
      return;
    }
    this.#outcomes.worker[place] = index;
    this.#outcomes.prefill[place] = this.#indexOf(dispatch.prefill?.worker);
    this.#outcomes.predictedTokens[place] = dispatch.predictedTokens;
    if (dispatch.prefill) this.#compute(visit, index);
    else this.#answer(visit, index, undefined);
  }

  #indexOf(worker: { readonly id: string } | undefined): number {
    return worker === undefined ? -1 : (this.#byId.get(worker.id) ?? -1);
  }

  /** The prompt and one token, whose blocks are kept until the other engine has fetched them. */
  #compute(visit: Visit, decode: number): void {
    const { dispatch, request, router, place } = visit;
    const index = this.#outcomes.prefill[place] ?? -1;
    const engine = this.#engines[index];
    if (engine === undefined || dispatch === undefined) return;
    engine.open.add(visit);
    engine.model.submit({
      ...{ promptTokens: request.promptTokens, outputTokens: 1, hashes: request.blocks.hashes },
      ...{ finishedReason: 'length', keepsBlocks: true },
      onDone: (sequence) => {
        engine.open.delete(visit);
        router.prefilled(dispatch, request);
        this.#outcomes.cachedTokens[place] = sequence.cachedTokens;
        visit.handedOver = () => engine.model.giveBack(sequence);
        if (this.#engines[decode]?.isDead !== false) this.#lost(visit);
        else this.#answer(visit, decode, this.#handover(visit, index, decode));
      },
    });
  }

  #handover(visit: Visit, from: number, to: number): IncomingKv {
    return {
      fetch: (tokens, settle) => {
        if (this.#engines[from]?.isDead !== false) {
          settle(false);
          return;
        }
        this.#links.send(tokens, from, to, (arrived) => {
          visit.handedOver?.();
          settle(arrived);
        });
      },
    };
  }

  #answer(visit: Visit, index: number, incoming: IncomingKv | undefined): void {
    const engine = this.#engines[index];
    if (engine === undefined) return;
    const { promptTokens, outputTokens, blocks } = visit.request;
    engine.open.add(visit);
    engine.model.submit({
      ...{ promptTokens, outputTokens, incoming },
      hashes: blocks.hashes,
      finishedReason: 'length',
      onTokens: () => this.#firstToken(visit),
      onDone: (sequence) => {
        engine.open.delete(visit);
        this.#done(visit, sequence);
      },
    });
  }

  #firstToken({ place, arrivedAt, dispatch, router }: Visit): void {
    const { ttftMs } = this.#outcomes;
    if (!Number.isNaN(ttftMs[place])) return;
    ttftMs[place] = this.#clock.now() - arrivedAt;
    if (dispatch) router.firstToken(dispatch);
  }

  #done(visit: Visit, sequence: Sequence): void {
    const { place, arrivedAt, dispatch, router, request } = visit;
    this.#outcomes.e2eMs[place] = this.#clock.now() - arrivedAt;
    // Of what came from another engine, that one said what it had cached.
    if (dispatch?.prefill === undefined) this.#outcomes.cachedTokens[place] = sequence.cachedTokens;
    if (dispatch) router.release(dispatch, request);
    this.#open -= 1;
  }

  #kill(index: number, engine: Engine): void {
    // What ends in this very instant has ended, and is no longer open afterwards.
    engine.model.stop();
    engine.isDead = true;
    const lost = [...engine.open];
    engine.open.clear();
    for (const router of this.#routers) router.leave(engine.id);
    this.#links.cut(index);
    for (const visit of lost) this.#lost(visit);
  }

  /** An engine that it needs has died. */
  #lost(visit: Visit): void {
    visit.handedOver?.();
    if (visit.dispatch) visit.router.release(visit.dispatch, visit.request);
    // After the first token nothing is sent again: the client has seen a part of the answer.
    const isOver = !Number.isNaN(this.#outcomes.ttftMs[visit.place]);
    if (isOver || (this.#outcomes.attempts[visit.place] ?? 0) >= MAX_ATTEMPTS) this.#open -= 1;
    else this.#send(visit);
  }

  #sampleLoad(): void {
    this.#sampler.take((worker) => this.#engines[worker]?.open.size ?? 0);
    this.#clock.after(this.#sampler.intervalMs, () => this.#sampleLoad());
  }

  #poll(): void {
    const { pollIntervalMs, pollDelayMs } = this.#plan;
    const takenAt = this.#clock.now();
    const reports = this.#engines.map(({ id, model }) => ({ id, load: model.running + model.waiting }));
    const ours = this.#routers.map(({ registry, ledger }) =>
      reports.map(({ id }) => ledger.known(registry.get(id)?.slot ?? -1)),
    );
    const apply = (): void => {
      for (const [router, { registry, ledger }] of this.#routers.entries()) {
        for (const [engine, { id, load }] of reports.entries()) {
          const worker = registry.get(id);
          if (worker) ledger.setExternal(worker.slot, load, ours[router]?.[engine] ?? 0, takenAt);
        }
      }
    };
    if (pollDelayMs > 0) this.#clock.after(pollDelayMs, apply);
    else apply();
    this.#clock.after(pollIntervalMs, () => this.#poll());
  }
}

function publishes({ cache, workers }: FleetPlan, worker: number): boolean {
  return cache.source === 'events' && worker < workers.length - cache.silentWorkers;
}
