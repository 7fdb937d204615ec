import type { Clock, Timer } from '../../base/clock.ts';
import type { BlockCache } from './block-cache.ts';
import { CacheTiers } from './cache-tiers.ts';
import { EngineStats } from './engine-stats.ts';
import type { ModelSettings } from './model-settings.ts';
import { steadyMs } from './steady-steps.ts';
import type { ScheduleObserver } from './schedule-observer.ts';
import { recordEnd, recordLookUp, recordToken, Sequence, type SequenceAsk } from './sequence.ts';
import { stepMs } from './step-time.ts';
import { Transfers } from './transfers.ts';
import { Untold } from './untold.ts';
import { WaitingLine } from './waiting-line.ts';

/** Steps per wake-up: bounds how long a machine that fell behind, or a run without delays, holds the event loop. */
const STEPS_PER_WAKE = 1024;
/** A machine that falls further behind than this slows the engine down instead of catching up. */
const CATCH_UP_MS = 250;

/**
 * When the model looks at the clock. `step`: after every step, so that each token is told as it comes. `change`: only
 * when something begins or ends, the steps between being caught up with; for virtual time, where nobody reads the tokens.
 */
export type Waking = 'step' | 'change';

/**
 * One vLLM engine in miniature: continuous batching with chunked prefill, a paged KV cache with prefix reuse, and
 * preemption (the youngest running request starts again) when blocks run out. Pure: time comes from the clock only, so it
 * runs in real time under the server and in virtual time under a trace.
 *
 * A step takes `prefill tokens / rate`, plus the decode time when any request decodes. As in vLLM, running requests are
 * served first, then waiting ones in order of arrival, and the first token comes out of the step that ends the prompt.
 */
export class WorkerModel {
  readonly settings: ModelSettings;
  readonly stats = new EngineStats();
  readonly #tiers: CacheTiers;
  readonly #clock: Clock;
  readonly #wakesAtChange: boolean;
  #running: Sequence[] = [];
  readonly #waiting = new WaitingLine();
  readonly #transfers = new Transfers();
  /** The first in the line found no room: nothing to do before somebody gives blocks back. */
  #isFull = false;
  #stepping = false;
  #stepEndsAt = 0;
  /** Blocks that the step under way loads from the CPU. */
  #loading = 0;
  #timer: Timer | undefined;
  #waking = false;
  #paused = false;
  readonly #untold = new Untold();

  constructor(settings: ModelSettings, clock: Clock, waking: Waking = 'step') {
    if (settings.maxModelLen > settings.blocks * settings.blockSize) {
      throw new RangeError(
        'max model length is larger than the KV cache: no request of that length could ever run',
      );
    }
    this.settings = settings;
    this.#tiers = new CacheTiers(settings);
    this.#clock = clock;
    this.#wakesAtChange = waking === 'change';
  }

  /** At most one. */
  set observer(observer: ScheduleObserver | undefined) {
    this.#tiers.observer = observer;
  }

  get cache(): BlockCache {
    return this.#tiers.gpu;
  }

  /** Where full blocks are copied to and loaded back from; undefined without `cpuBlocks`. */
  get cpuCache(): BlockCache | undefined {
    return this.#tiers.cpu;
  }

  get running(): number {
    return this.#running.length;
  }

  /** As vLLM counts them: those whose keys and values are still under way are among them. */
  get waiting(): number {
    return this.#waiting.length + this.#transfers.fetching;
  }

  /** Sequences that are done and keep their blocks. */
  get kept(): number {
    return this.#transfers.kept;
  }

  /** Fraction of the KV blocks in use. */
  get kvUsage(): number {
    return this.cache.used / this.cache.capacity;
  }

  /** Takes a request; it joins the batch at the next step. Throws a RangeError beyond `maxModelLen`. */
  submit(ask: SequenceAsk): Sequence {
    if (ask.promptTokens < 1 || ask.promptTokens + ask.outputTokens > this.settings.maxModelLen) {
      throw new RangeError(
        `${String(ask.promptTokens)} + ${String(ask.outputTokens)} tokens cannot run here`,
      );
    }
    const sequence = new Sequence(ask, this.#clock.now());
    this.#waiting.add(sequence);
    this.#lookAgain();
    return sequence;
  }

  /** The client left: its blocks are free at once. Ended sequences are left alone. */
  abort(sequence: Sequence): boolean {
    this.#catchUpWithSteps();
    const { state } = sequence;
    if (state === 'done' || state === 'aborted') return false;
    if (state === 'running') this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#transfers.leave(sequence);
    this.#end(sequence, 'aborted', this.#clock.now());
    if (state === 'waiting') this.#waiting.leave();
    this.#rouse();
    return true;
  }

  /** The blocks that `keepsBlocks` has kept are free: fetched, or nobody will. Without effect on others. */
  giveBack(sequence: Sequence): void {
    this.#catchUpWithSteps();
    if (!this.#transfers.giveBack(sequence)) return;
    this.cache.release(sequence.blocks);
    this.#rouse();
  }

  /** Stops after the step under way until `resume`; requests queue up meanwhile. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#arm();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Aborts everything. */
  clear(): void {
    const { fetching, kept } = this.#transfers.sequences();
    for (const sequence of [...this.#running, ...fetching, ...this.#waiting.sequences()])
      this.abort(sequence);
    for (const sequence of kept) this.giveBack(sequence);
  }

  /** No more steps, ever; open sequences are aborted. */
  stop(): void {
    this.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#stepping = false;
    this.#paused = true;
  }

  #arm(): void {
    if (this.#waking || this.#timer !== undefined) return;
    const isIdle = this.#running.length === 0 && (this.#waiting.length === 0 || this.#isFull);
    if (!this.#stepping && (this.#paused || isIdle)) return;
    const wakeAt =
      this.#stepEndsAt +
      (this.#wakesAtChange && this.#waiting.length === 0
        ? steadyMs(this.#running, this.settings, this.cache.free)
        : 0);
    const delay = this.#stepping ? Math.max(0, wakeAt - this.#clock.now()) : 0;
    this.#timer = this.#clock.after(delay, () => {
      this.#timer = undefined;
      this.#catchUp();
      this.#arm();
    });
  }

  /** Steps that are over take their blocks before a change gives others back. */
  #catchUpWithSteps(): void {
    if (this.#wakesAtChange && this.#stepping && !this.#waking) this.#catchUp();
  }

  /** Something changed that the scheduler should look at. */
  #rouse(): void {
    this.#isFull = false;
    this.#lookAgain();
  }

  /** A timer that may be set beyond the end of the step is set anew: somebody waits for that end now. */
  #lookAgain(): void {
    if (this.#wakesAtChange && !this.#waking) {
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#catchUpWithSteps();
    }
    this.#arm();
  }

  #catchUp(): void {
    this.#waking = true;
    const now = this.#clock.now();
    const instant = this.settings.timeScale === 0;
    for (let steps = 0; steps < STEPS_PER_WAKE; steps++) {
      let startsAt = now;
      if (this.#stepping) {
        if (this.#stepEndsAt > now) break;
        this.#apply(this.#stepEndsAt);
        // The next step follows the last one without a gap, however late the timer was.
        if (!instant && (this.#wakesAtChange || now - this.#stepEndsAt < CATCH_UP_MS))
          startsAt = this.#stepEndsAt;
        // Without delays a stream would come in one piece: tell each step's tokens before the next step.
        if (instant && this.#untold.isWatched) {
          this.#stepping = false;
          break;
        }
      }
      this.#stepping = !this.#paused && this.#plan(startsAt);
      if (!this.#stepping) break;
    }
    this.#untold.tell();
    this.#waking = false;
  }

  /** Decides what the next step computes; false: nothing to do. */
  #plan(startsAt: number): boolean {
    let budget = this.settings.stepTokens;
    let prefill = 0;
    let decodes = 0;
    let preempted = false;
    this.#loading = 0;
    for (let i = 0; i < this.#running.length && budget > 0; i++) {
      const sequence = this.#running[i];
      if (!sequence) break;
      const share = Math.min(sequence.tokens - sequence.computed, budget);
      while (!this.#grow(sequence, sequence.computed + share)) {
        preempted = true;
        if (this.#preemptYoungest() === sequence) break;
      }
      if (sequence.state !== 'running') break;
      sequence.share = share;
      this.#tiers.seal(sequence, sequence.computed, share);
      budget -= share;
      if (share === 1 && sequence.generated > 0) decodes++;
      else prefill += share;
    }
    if (!preempted) prefill += this.#admit(budget, startsAt);
    if (this.#running.length === 0) return false;
    this.stats.iterationTokens.observe(prefill + decodes);
    const work = { prefill, decodes, loadedBlocks: this.#loading };
    this.#stepEndsAt = startsAt + stepMs(work, this.settings);
    return true;
  }

  /** Moves waiting requests into the batch while tokens, places and blocks last; returns the prefill tokens given. */
  #admit(budget: number, now: number): number {
    const { blockSize, maxRunning } = this.settings;
    let given = 0;
    this.#isFull = false;
    while (given < budget && this.#running.length < maxRunning) {
      const sequence = this.#waiting.first();
      // A step that began before the request was ready cannot compute it (a late timer is caught up with step by step).
      if (!sequence || sequence.readyAt > now) break;
      if (sequence.blocks.length > 0) {
        // What it waited for has come: only the last token of the prompt is left.
        this.#waiting.shift();
        given += this.#run(sequence, sequence.tokens - sequence.computed, now);
        continue;
      }
      const { ask, incoming } = sequence;
      const { onGpu, onCpu } = this.#tiers.lookUp(sequence);
      const cached = (onGpu + onCpu) * blockSize;
      const share = incoming ? 0 : Math.min(sequence.tokens - cached, budget - given);
      const total = Math.ceil((incoming ? sequence.tokens : cached + share) / blockSize);
      this.#isFull = !this.cache.take(ask.hashes, onGpu, total, sequence.blocks);
      if (this.#isFull) break;
      this.#waiting.shift();
      recordLookUp(this.stats, sequence, { onGpu, onCpu, blockSize, hasCpu: this.cpuCache !== undefined });
      sequence.computed = cached;
      if (incoming) {
        this.#transfers.fetch(sequence, incoming, (tokens) => this.#arrived(sequence, tokens));
        continue;
      }
      given += this.#run(sequence, share, now);
      this.#loading += onCpu;
      // What is loaded is found on the GPU like what is computed.
      this.#tiers.seal(sequence, onGpu * blockSize, onCpu * blockSize + share);
      this.#tiers.touchOnCpu(sequence, onGpu);
    }
    return given;
  }

  /** Into the batch, with so many tokens of the step. */
  #run(sequence: Sequence, share: number, now: number): number {
    sequence.state = 'running';
    sequence.share = share;
    if (Number.isNaN(sequence.scheduledAt)) sequence.scheduledAt = now;
    this.#running.push(sequence);
    return share;
  }

  /** The keys and values of `tokens` prompt tokens have come; of none: all of it has to be computed here. */
  #arrived(sequence: Sequence, tokens: number): void {
    this.#catchUpWithSteps();
    sequence.state = 'waiting';
    sequence.readyAt = this.#clock.now();
    if (tokens > 0) {
      this.stats.externalCacheHits += tokens;
      this.#tiers.seal(sequence, sequence.computed, tokens);
      sequence.computed += tokens - 1;
    } else {
      this.cache.release(sequence.blocks);
    }
    // Before those whose turn has not come yet, as it was before.
    this.#waiting.addFirst(sequence);
    this.#rouse();
  }

  #grow(sequence: Sequence, tokens: number): boolean {
    const needed = Math.ceil(tokens / this.settings.blockSize);
    while (sequence.blocks.length < needed) if (!this.cache.allocate(sequence.blocks)) return false;
    return true;
  }

  #preemptYoungest(): Sequence | undefined {
    const sequence = this.#running.pop();
    if (!sequence) return undefined;
    this.cache.release(sequence.blocks);
    sequence.state = 'waiting';
    sequence.computed = 0;
    sequence.share = 0;
    sequence.preemptions++;
    this.stats.preemptions++;
    this.#waiting.addFirst(sequence);
    return sequence;
  }

  /** The step is over: what it computed is there. */
  #apply(now: number): void {
    let ended = 0;
    for (const sequence of this.#running) {
      if (sequence.share === 0) continue;
      sequence.computed += sequence.share;
      sequence.share = 0;
      if (sequence.computed < sequence.tokens) continue;
      if (sequence.generated < sequence.ask.outputTokens) this.#generate(sequence, now);
      if (sequence.generated === sequence.ask.outputTokens) {
        this.#end(sequence, 'done', now);
        ended++;
      }
    }
    if (ended > 0) this.#running = this.#running.filter((sequence) => sequence.state === 'running');
    this.#tiers.observer?.stepped();
  }

  #generate(sequence: Sequence, now: number): void {
    sequence.generated++;
    if (sequence.fresh++ === 0) this.#untold.add(sequence);
    recordToken(this.stats, sequence, now);
  }

  #end(sequence: Sequence, state: 'done' | 'aborted', now: number): void {
    sequence.state = state;
    sequence.finishedAt = now;
    if (state === 'done' && sequence.ask.keepsBlocks === true) this.#transfers.keep(sequence);
    else this.cache.release(sequence.blocks);
    if (state === 'aborted') this.stats.finished.abort++;
    else {
      if (sequence.fresh === 0) this.#untold.add(sequence);
      recordEnd(this.stats, sequence);
    }
  }
}
