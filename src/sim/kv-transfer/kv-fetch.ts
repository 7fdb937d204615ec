import type { Clock, Timer } from '../../base/clock.ts';
import type { KvSource } from './handing.ts';
import type { SideAddress, SideClient } from './side-client.ts';

/** Signs of life for each lease, as vLLM's. */
const HEARTBEATS_PER_LEASE = 6;
const MAX_KNOWN_ENGINES = 1024;

export interface FetchOptions {
  readonly clock: Clock;
  readonly client: SideClient;
  readonly leaseMs: number;
  readonly known: KnownEngines;
  /** Its owner did not hear that it may have its blocks back. */
  readonly onUnheard: () => void;
}

/** Engines that have been spoken to. As in vLLM, where one is once known is not asked again, whatever a request says. */
export class KnownEngines {
  readonly #addresses = new Map<string, SideAddress>();

  addressOf({ engineId, host, port }: KvSource): SideAddress {
    const known = engineId === undefined ? undefined : this.#addresses.get(engineId);
    return known ?? { host, port };
  }

  learn({ engineId }: KvSource, address: SideAddress): void {
    if (engineId === undefined) return;
    if (this.#addresses.size >= MAX_KNOWN_ENGINES) this.#addresses.clear();
    this.#addresses.set(engineId, address);
  }

  forget({ engineId }: KvSource): void {
    if (engineId !== undefined) this.#addresses.delete(engineId);
  }
}

/** One prompt's KV cache on its way here. While its turn has not come, its owner hears that somebody wants it. */
export class KvFetch {
  readonly #source: KvSource;
  readonly #options: FetchOptions;
  readonly #address: SideAddress;
  readonly #heartbeat: Timer;
  #stopAsking: (() => void) | undefined;
  #moving: Timer | undefined;
  #isOver = false;

  constructor(source: KvSource, options: FetchOptions) {
    this.#source = source;
    this.#options = options;
    this.#address = options.known.addressOf(source);
    const { clock, leaseMs } = options;
    this.#heartbeat = clock.after(leaseMs / HEARTBEATS_PER_LEASE, () => {
      this.#tell('/heartbeat');
      this.#heartbeat.refresh();
    });
  }

  /** `done` comes once, unless it is abandoned. @param ms how long it takes on the wire. */
  begin(ms: number, done: (arrived: boolean) => void): void {
    const { key, engineId, waits } = this.#source;
    const { client, clock, known } = this.#options;
    const body = { key, waits, ...(engineId !== undefined && { engine_id: engineId }) };
    this.#stopAsking = client.post(this.#address, '/fetch', body, (status) => {
      // Who waits for what is not computed yet waits for ever when its owner is gone, as with vLLM's connectors that push.
      if (status === 'lost' && waits) return;
      if (status !== 200) {
        known.forget(this.#source);
        this.#end();
        done(false);
        return;
      }
      known.learn(this.#source, this.#address);
      this.#moving = clock.after(ms, () => {
        this.#tell('/free');
        this.#end();
        done(true);
      });
    });
  }

  /** It is not wanted any more: its owner may have its blocks back. Without effect when it has come. */
  abandon(): void {
    if (this.#isOver) return;
    this.#tell('/free');
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#stopAsking?.();
    this.#moving?.cancel();
    this.#heartbeat.cancel();
  }

  #tell(path: '/free' | '/heartbeat'): void {
    const { client, onUnheard } = this.#options;
    client.post(this.#address, path, { key: this.#source.key }, (status) => {
      if (path === '/free' && status !== 200) onUnheard();
    });
  }
}
