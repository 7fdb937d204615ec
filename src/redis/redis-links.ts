import type { RedisSettings } from '../config/settings/redis-settings.ts';
import type { RedisLink } from './redis-link.ts';
import { ServerLink, type LinkDeps } from './server-link.ts';

interface Shared {
  readonly link: RedisLink;
  holders: number;
}

/** The links of this thread: whoever is given the same settings gets the same one. */
export class RedisLinks {
  readonly #deps: LinkDeps;
  readonly #open = new Map<string, Shared>();

  constructor(deps: LinkDeps) {
    this.#deps = deps;
  }

  /** Those that somebody holds. */
  get all(): readonly RedisLink[] {
    return [...this.#open.values()].map(({ link }) => link);
  }

  /** Never waits: the link is down until there is a connection. Whoever has it closes it; with the last one it ends. */
  open(settings: RedisSettings): RedisLink {
    const key = JSON.stringify(settings);
    const shared = this.#open.get(key) ?? { link: new ServerLink(settings, this.#deps), holders: 0 };
    shared.holders += 1;
    this.#open.set(key, shared);
    return new HeldLink(shared.link, async () => {
      shared.holders -= 1;
      if (shared.holders > 0) return;
      this.#open.delete(key);
      await shared.link.close();
    });
  }
}

/** One holder's end of a link. Its subscriptions end with it. */
class HeldLink implements RedisLink {
  readonly #link: RedisLink;
  readonly #release: () => Promise<void>;
  readonly #subscriptions = new Set<() => void>();
  #closed = false;

  constructor(link: RedisLink, release: () => Promise<void>) {
    this.#link = link;
    this.#release = release;
  }

  get isUp(): boolean {
    return !this.#closed && this.#link.isUp;
  }

  get takesWrites(): boolean {
    return !this.#closed && this.#link.takesWrites;
  }

  get name(): string {
    return this.#link.name;
  }

  get keyPrefix(): string {
    return this.#link.keyPrefix;
  }

  readonly ask: RedisLink['ask'] = async (work, kind) =>
    this.#closed ? { kind: 'unavailable', reason: 'closed' } : this.#link.ask(work, kind);

  readonly subscribe: RedisLink['subscribe'] = (channel, onMessage, onReady) => {
    const end = this.#link.subscribe(channel, onMessage, onReady);
    this.#subscriptions.add(end);
    return () => {
      this.#subscriptions.delete(end);
      end();
    };
  };

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#subscriptions) end();
    await this.#release();
  }
}
