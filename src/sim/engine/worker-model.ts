import type { Clock, Timer } from '../../base/clock.ts';
import { BlockCache } from './block-cache.ts';
import { EngineStats } from './engine-stats.ts';
import type { ModelSettings } from './model-settings.ts';
import { steadyMs } from './steady-steps.ts';
import type { ScheduleObserver } from './schedule-observer.ts';
import { recordEnd, Sequence, type SequenceAsk } from './sequence.ts';
import { stepMs } from './step-time.ts';
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
  readonly cache: BlockCache;
  /** Where full blocks are copied to and loaded back from; undefined without `cpuBlocks`. */
  readonly cpuCache: BlockCache | undefined;
  /** At most one. */
  observer: ScheduleObserver | undefined;
  readonly #clock: Clock;
  readonly #wakesAtChange: boolean;
  #running: Sequence[] = [];
  readonly #waiting = new WaitingLine();
  #stepping = false;
  #stepEndsAt = 0;
  /** Blocks that the step under way loads from the CPU. */
  #loading = 0;
  #timer: Timer | undefined;
  #waking = false;
  #paused = false;
  #told: Sequence[] = [];

  constructor(settings: ModelSettings, clock: Clock, waking: Waking = 'step') {
    if (settings.maxModelLen > settings.blocks * settings.blockSize) {
      throw new RangeError(
        'max model length is larger than the KV cache: no request of that length could ever run',
      );
    }
    this.settings = settings;
    this.cache = new BlockCache(settings.blocks);
    this.cpuCache = settings.cpuBlocks > 0 ? new BlockCache(settings.cpuBlocks) : undefined;
    this.#clock = clock;
    this.#wakesAtChange = waking === 'change';
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
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
    this.#disarmFar();
    this.#arm();
    return sequence;
  }

  /** The client left: its blocks are free at once. Ended sequences are left alone. */
  abort(sequence: Sequence): boolean {
    if (this.#wakesAtChange && !this.#waking) this.#catchUp();
    const { state } = sequence;
    if (state !== 'running' && state !== 'waiting') return false;
    if (state === 'running') this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#end(sequence, 'aborted', this.#clock.now());
    if (state === 'waiting') this.#waiting.leave();
    if (this.#wakesAtChange && !this.#waking) {
      this.#disarmFar();
      this.#arm();
    }
    return true;
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
    for (const sequence of [...this.#running, ...this.#waiting.sequences()]) this.abort(sequence);
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
    if (!this.#stepping && (this.#paused || (this.#running.length === 0 && this.waiting === 0))) return;
    const wakeAt =
      this.#stepEndsAt +
      (this.#wakesAtChange && this.waiting === 0
        ? steadyMs(this.#running, this.settings, this.cache.free)
        : 0);
    const delay = this.#stepping ? Math.max(0, wakeAt - this.#clock.now()) : 0;
    this.#timer = this.#clock.after(delay, () => {
      this.#timer = undefined;
      this.#catchUp();
      this.#arm();
    });
  }

  #catchUp(): void {
    this.#waking = true;
    this.#wake();
    this.#waking = false;
  }

  /** A timer that may be set beyond the end of the step is set anew: somebody waits for that end now. */
  #disarmFar(): void {
    if (!this.#wakesAtChange || this.#waking) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#stepping && this.#stepEndsAt <= this.#clock.now()) this.#catchUp();
  }

  #wake(): void {
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
        if (instant && this.#told.some(isWatched)) {
          this.#stepping = false;
          break;
        }
      }
      this.#stepping = !this.#paused && this.#plan(startsAt);
      if (!this.#stepping) break;
    }
    this.#tell();
  }

  /** Decides what the next step computes; false when there is nothing to do. */
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
      this.#seal(sequence, sequence.computed, share);
      budget -= share;
      if (share === 1 && sequence.generated > 0) decodes++;
      else prefill += share;
    }
    if (!preempted) prefill += this.#admit(budget, startsAt);
    if (this.#running.length === 0) return false;
    this.stats.iterationTokens.observe(prefill + decodes);
    const loadedBlocks = this.#loading;
    this.#stepEndsAt = startsAt + stepMs({ prefill, decodes, loadedBlocks }, this.settings);
    return true;
  }

  /** Moves waiting requests into the batch while tokens, places and blocks last; returns the prefill tokens given. */
  #admit(budget: number, now: number): number {
    const { blockSize, maxRunning, prefixCaching } = this.settings;
    let given = 0;
    while (given < budget && this.#running.length < maxRunning) {
      const sequence = this.#waiting.first();
      // A step that began before the request came cannot compute it (a late timer is caught up with step by step).
      if (!sequence || sequence.arrivedAt > now) break;
      // At least one token is computed, as in vLLM: a hit gives keys and values, not the next token.
      const reusable = Math.floor((sequence.tokens - 1) / blockSize);
      const { hashes } = sequence.ask;
      const onGpu = prefixCaching ? this.cache.match(hashes, reusable) : 0;
      const onCpu = (prefixCaching && this.cpuCache?.match(hashes, reusable, onGpu)) || 0;
      const cached = onGpu + onCpu;
      const share = Math.min(sequence.tokens - cached * blockSize, budget - given);
      const total = Math.ceil((cached * blockSize + share) / blockSize);
      if (!this.cache.take(hashes, onGpu, total, sequence.blocks)) break;
      this.#waiting.shift();
      sequence.state = 'running';
      sequence.computed = cached * blockSize;
      sequence.share = share;
      given += share;
      this.#running.push(sequence);
      if (Number.isNaN(sequence.scheduledAt)) this.#firstScheduled(sequence, now, onGpu, onCpu);
      this.#loading += onCpu;
      // What is loaded is found on the GPU like what is computed.
      this.#seal(sequence, onGpu * blockSize, onCpu * blockSize + share);
      this.#touchOnCpu(sequence, onGpu);
    }
    return given;
  }

  #firstScheduled(sequence: Sequence, now: number, onGpu: number, onCpu: number): void {
    const { promptTokens } = sequence.ask;
    const { blockSize } = this.settings;
    sequence.scheduledAt = now;
    sequence.cachedTokens = (onGpu + onCpu) * blockSize;
    this.stats.prefixCacheQueries += promptTokens;
    this.stats.prefixCacheHits += onGpu * blockSize;
    if (this.cpuCache === undefined) return;
    this.stats.externalCacheQueries += promptTokens - onGpu * blockSize;
    this.stats.externalCacheHits += onCpu * blockSize;
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
    this.observer?.stepped();
  }

  /**
   * Blocks that `tokens` more tokens behind the first `computed` will fill can be found at once, as in vLLM: whoever is
   * scheduled later in the same step shares them already.
   */
  #seal(sequence: Sequence, computed: number, tokens: number): void {
    if (!this.settings.prefixCaching) return;
    const { blockSize } = this.settings;
    const { hashes } = sequence.ask;
    const known = hashes.length >>> 1;
    // Most steps bring a token behind the last block that has a hash.
    if (computed >= known * blockSize) return;
    const from = Math.floor(computed / blockSize);
    const to = Math.min(Math.floor((computed + tokens) / blockSize), known);
    if (from >= to) return;
    this.observer?.filled(sequence, from, to);
    for (let i = from; i < to; i++) {
      const block = sequence.blocks[i];
      if (block !== undefined) this.cache.seal(block, hashes, i);
    }
    // The tail first: of one prompt the head stays longest.
    for (let i = to - 1; i >= from; i--) this.cpuCache?.keep(hashes, i);
  }

  /** What was found on the GPU is used on the CPU as well. */
  #touchOnCpu(sequence: Sequence, blocks: number): void {
    for (let i = blocks - 1; i >= 0; i--) this.cpuCache?.keep(sequence.ask.hashes, i);
  }

  #generate(sequence: Sequence, now: number): void {
    sequence.generated++;
    if (sequence.fresh++ === 0) this.#told.push(sequence);
    if (sequence.generated === 1) {
      sequence.firstTokenAt = now;
      this.stats.promptTokens += sequence.ask.promptTokens;
      this.stats.timeToFirstToken.observe((now - sequence.arrivedAt) / 1000);
    } else {
      this.stats.interTokenLatency.observe((now - sequence.lastTokenAt) / 1000);
    }
    sequence.lastTokenAt = now;
    this.stats.generationTokens++;
  }

  #end(sequence: Sequence, state: 'done' | 'aborted', now: number): void {
    sequence.state = state;
    sequence.finishedAt = now;
    this.cache.release(sequence.blocks);
    const { stats } = this;
    if (state === 'aborted') {
      stats.finished.abort++;
      return;
    }
    if (sequence.fresh === 0) this.#told.push(sequence);
    recordEnd(stats, sequence);
  }

  #tell(): void {
    if (this.#told.length === 0) return;
    const told = this.#told;
    this.#told = [];
    for (const sequence of told) {
      const { fresh, ask } = sequence;
      sequence.fresh = 0;
      // An earlier listener of this round may have aborted it.
      if (sequence.state === 'aborted') continue;
      if (fresh > 0) ask.onTokens?.(fresh);
      if (sequence.state === 'done') ask.onDone(sequence);
    }
  }
}

function isWatched(sequence: Sequence): boolean {
  return sequence.ask.onTokens !== undefined;
}
