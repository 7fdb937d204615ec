import type { Channel, Channels, MessageKind, QuestionKind } from '../base/channel.ts';
import type { Regions } from '../base/thread-memory.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { Settings } from '../config/settings/settings.ts';

/*
 * How one configuration follows another in all threads. Each has a number, its generation. Control proposes the next one; every
 * thread compiles it and says whether it could; only then control commits it, everywhere, or withdraws it. A request has the
 * settings of its thread when it comes, so it sees one generation, and a thread never goes back.
 */

/** To a thread: compile this. */
export const PROPOSED: QuestionKind<
  { readonly generation: number; readonly config: PortableConfig },
  { readonly problem: string | undefined }
> = { name: 'reload:proposed' };

/** To a thread: that is in force. With the configuration where the thread was not there when it was proposed. */
export const COMMITTED: MessageKind<{
  readonly generation: number;
  readonly config: PortableConfig | undefined;
  readonly regions: Regions;
}> = { name: 'reload:committed' };

/** To a thread: it will not be. */
export const WITHDRAWN: MessageKind<{ readonly generation: number }> = { name: 'reload:withdrawn' };

/** A thread that has not answered by then is not waited for. */
const PATIENCE_MS = 5_000;
/** Of the threads' problems so many are told; they are mostly the same one. */
const MOST_PROBLEMS = 3;

export interface ReloadsOfThreadsDeps {
  /** Whether that thread serves already. One that only begins is not asked, and is told what is in force. */
  readonly serves: (row: number) => boolean;
  /** A thread has not answered in time: it is to be ended, and what takes its place begins with what is in force then. */
  readonly onSilent: (row: number) => void;
  readonly patienceMs?: number;
}

type Verdict = 'ready' | 'gone' | 'silent' | { readonly problem: string };

/** In control: what request threads run on. One reload after the other is its caller's business. */
export class ReloadsOfThreads {
  readonly #channels: Channels;
  readonly #deps: ReloadsOfThreadsDeps;
  #generation = 1;

  constructor(channels: Channels, deps: ReloadsOfThreadsDeps) {
    this.#channels = channels;
    this.#deps = deps;
  }

  /** Of what is in force. A thread that begins is given it along with that configuration. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Resolves when every thread has compiled it, but for those that have ended or do not answer; what is returned puts it in
   * force, at once and without failing. Rejects, with everything as it was, where a thread cannot use it.
   *
   * @param regions Asked for when it is put in force: the shared memory of by then.
   */
  async prepare(config: PortableConfig, regions: () => Regions): Promise<() => void> {
    const generation = this.#generation + 1;
    const ready = new Set<Channel>();
    const problems = new Set<string>();
    await Promise.all(
      [...this.#channels.rows].map(async (row) => {
        const channel = this.#channels.to(row);
        if (!channel || !this.#deps.serves(row)) return;
        const verdict = await this.#propose(channel, { generation, config });
        if (verdict === 'ready') ready.add(channel);
        // Another one may be in its row by now.
        else if (verdict === 'silent' && this.#channels.to(row) === channel) this.#deps.onSilent(row);
        else if (typeof verdict === 'object') problems.add(verdict.problem);
      }),
    );
    if (problems.size > 0) {
      for (const channel of ready) channel.post(WITHDRAWN, { generation });
      throw new Error(`a request thread cannot use it: ${[...problems].slice(0, MOST_PROBLEMS).join('; ')}`);
    }
    return () => {
      this.#commit(generation, config, { ready, regions: regions() });
    };
  }

  #commit(
    generation: number,
    config: PortableConfig,
    { ready, regions }: { readonly ready: ReadonlySet<Channel>; readonly regions: Regions },
  ): void {
    if (generation <= this.#generation) return;
    this.#generation = generation;
    for (const row of this.#channels.rows) {
      const channel = this.#channels.to(row);
      if (!channel) continue;
      channel.post(COMMITTED, { generation, config: ready.has(channel) ? undefined : config, regions });
    }
  }

  async #propose(
    channel: Channel,
    proposal: { readonly generation: number; readonly config: PortableConfig },
  ): Promise<Verdict> {
    const { promise: silence, resolve } = Promise.withResolvers<Verdict>();
    const timer = setTimeout(() => {
      resolve('silent');
    }, this.#deps.patienceMs ?? PATIENCE_MS);
    const answered = channel.ask(PROPOSED, proposal).then(
      ({ problem }): Verdict => (problem === undefined ? 'ready' : { problem }),
      // It has ended; what takes its place is told what is in force.
      (): Verdict => 'gone',
    );
    const verdict = await Promise.race([answered, silence]);
    clearTimeout(timer);
    return verdict;
  }
}

export interface FollowerDeps {
  /** Of the configuration that the thread has begun with. */
  readonly generation: number;
  /** May throw. */
  readonly compile: (config: PortableConfig) => Settings;
  /** Puts it in force. */
  readonly commit: (settings: Settings, regions: Regions) => void;
}

/** In a request thread: does what control says about configurations. */
export function followReloads(channel: Channel, { compile, commit, ...start }: FollowerDeps): void {
  let { generation } = start;
  let proposed: { readonly generation: number; readonly settings: Settings } | undefined;
  channel.answer(PROPOSED, (proposal) => {
    proposed = undefined;
    try {
      proposed = { generation: proposal.generation, settings: compile(proposal.config) };
      return { problem: undefined };
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  });
  channel.on(WITHDRAWN, (withdrawn) => {
    if (proposed?.generation === withdrawn.generation) proposed = undefined;
  });
  channel.on(COMMITTED, (committed) => {
    // It may have begun with it.
    if (committed.generation <= generation) return;
    const { config, regions } = committed;
    const settings = proposed?.generation === committed.generation ? proposed.settings : undefined;
    proposed = undefined;
    if (!settings && !config) throw new Error(`generation ${committed.generation} was never proposed`);
    // What cannot be followed ends the thread, and the next one begins with what is in force.
    commit(settings ?? compile(config as PortableConfig), regions);
    generation = committed.generation;
  });
}
