import type { Installed } from './install.ts';
import { startVllm, type ServerWish, type VllmServer } from './vllm-server.ts';

/** Each takes some 3 GB and its processors' time: the one that was asked for longest ago makes room. */
const MOST_SERVERS = 3;

/** Two that hand over KV blocks to each other. */
export interface VllmPair {
  readonly prefill: VllmServer;
  readonly decode: VllmServer;
}

/** Servers of others, which are taken where a case wants nothing else of them. */
export interface Running {
  readonly running: readonly VllmServer[];
  /** The one for prefill, the one for decode. */
  readonly pair: readonly VllmServer[];
}

const NIXL: ServerWish = { nixl: true };

/** The servers of a run: started when a case needs them, ended with the run. */
export class Lab implements AsyncDisposable {
  readonly installed: Installed;
  readonly #say: (text: string) => void;
  /** In the order in which they were last asked for. */
  readonly #servers = new Map<string, VllmServer>();
  #count = 0;

  constructor(installed: Installed, { running, pair }: Running, say: (text: string) => void) {
    this.installed = installed;
    this.#say = say;
    for (const [servers, wish] of [
      [running, {}],
      [pair, NIXL],
    ] as const)
      for (const [index, server] of servers.entries())
        this.#servers.set(keyOf(NAMES[index] ?? server.url, wish), server);
  }

  /** A healthy one; the same for the same wish, so that cases share what takes minutes to start. `which` tells several of one wish apart. */
  async server(which: (typeof NAMES)[number] = 'a', wish: ServerWish = {}): Promise<VllmServer> {
    const key = keyOf(which, wish);
    const known = this.#servers.get(key);
    this.#servers.delete(key);
    const [oldest] = this.#servers;
    if (this.#servers.size >= MOST_SERVERS && oldest) {
      this.#servers.delete(oldest[0]);
      await oldest[1].stop();
    }
    const server = known ?? (await this.#start(which, wish));
    this.#servers.set(key, server);
    await server.healthy;
    return server;
  }

  /** For a fleet: as many of no particular wish, started side by side. */
  fleet(count: 1 | 2): Promise<readonly VllmServer[]> {
    return Promise.all(NAMES.slice(0, count).map((name) => this.server(name)));
  }

  async pair(): Promise<VllmPair> {
    const [prefill, decode] = await Promise.all(NAMES.map((name) => this.server(name, NIXL)));
    if (!prefill || !decode) throw new Error('no pair');
    return { prefill, decode };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#servers.values()];
    this.#servers.clear();
    await Promise.all(all.map((server) => server.stop()));
  }

  #start(which: string, wish: ServerWish): Promise<VllmServer> {
    this.#count += 1;
    const how = Object.keys(wish).length === 0 ? '' : ` with ${JSON.stringify(wish)}`;
    this.#say(`starting server ${which}${how}: a minute or more`);
    return startVllm(this.installed, `${String(this.#count)}-${which}`, wish);
  }
}

const NAMES = ['a', 'b'] as const;

function keyOf(which: string, wish: ServerWish): string {
  return JSON.stringify([which, wish]);
}
