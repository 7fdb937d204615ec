import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { ModelSettings } from '../engine/model-settings.ts';
import type { WorkerModel } from '../engine/worker-model.ts';
import { objectField, type Fields } from '../server/fields.ts';
import { CONNECTORS } from './connectors/index.ts';
import type { Handing, KvRequest, KvSelf, KvSource, SimConnector } from './handing.ts';
import { KnownEngines, KvFetch } from './kv-fetch.ts';
import { Leases, type Kept } from './leases.ts';
import { RouterNotices } from './router-notices.ts';
import type { KvTransferSettings, KvTransferState } from './settings.ts';
import { SideChannel, type SideAnswer } from './side-channel.ts';
import { SideClient } from './side-client.ts';
import { TransferStats } from './transfer-stats.ts';

/** What an engine puts around the id of a request, by the route that it came by; what is not named has no KV to hand over. */
const ID_AFFIXES: ReadonlyMap<string, readonly [before: string, after: string]> = new Map([
  ['/v1/completions', ['cmpl-', '-0']],
  ['/v1/chat/completions', ['chatcmpl-', '']],
  ['/v1/messages', ['chatcmpl-', '']],
  ['/v1/responses', ['resp_', '']],
  ['/inference/v1/generate', ['generate-tokens-', '']],
  ['/generate', ['', '']],
]);

export interface WorkerTransferOptions {
  readonly settings: KvTransferSettings;
  readonly model: ModelSettings;
  readonly host: string;
  readonly clock: Clock;
}

/** What a simulated worker has to do with the KV caches of others: keeps its own for them, and fetches theirs. */
export class WorkerTransfer {
  readonly settings: KvTransferSettings;
  readonly connector: SimConnector;
  readonly #options: WorkerTransferOptions;
  readonly #engines: readonly WorkerModel[];
  readonly #stats: readonly TransferStats[];
  readonly #leases: Leases;
  readonly #side: SideChannel;
  readonly #client = new SideClient();
  readonly #known = new KnownEngines();
  readonly #notices: RouterNotices;
  #engineIds: readonly string[] = [];
  #httpPort = 0;

  constructor(engines: readonly WorkerModel[], options: WorkerTransferOptions) {
    const { settings, host, clock } = options;
    this.settings = settings;
    this.connector = CONNECTORS[settings.connector];
    this.#options = options;
    this.#engines = engines;
    this.#stats = engines.map(() => new TransferStats());
    this.#leases = new Leases(clock, settings.leaseMs, ({ engine }) => this.statsOf(engine).expired++);
    this.#side = new SideChannel(host, settings.sidePort, (path, body, answer, gone) => {
      this.#asked(path, body, answer, gone);
    });
    this.#notices = new RouterNotices({ settings, host, clock, dpSize: engines.length });
    this.#beginAnew();
  }

  get state(): KvTransferState {
    const { connector, role } = this.settings;
    const { port } = this.#side;
    const registersItself = connector === 'p2p-nccl' || connector === 'moriio';
    const kept = this.#engines.reduce((sum, engine) => sum + engine.kept, 0);
    return { connector, role, engineIds: this.#engineIds, port, kept, registersItself };
  }

  get self(): KvSelf {
    return { settings: this.settings, host: this.#options.host, port: this.#side.port };
  }

  /** Rejects with the system's error where it cannot listen. @param httpPort where the worker serves. */
  async open(httpPort: number): Promise<void> {
    await this.#side.open();
    this.#httpPort = httpPort;
    this.#notices.begin({ http: httpPort, side: this.#side.port });
  }

  async close(): Promise<void> {
    this.#notices.end();
    this.#leases.clear();
    this.#client.close();
    await this.#side.close();
  }

  /** Nobody can ask while it is closed. */
  async setOpen(isOpen: boolean): Promise<void> {
    if (isOpen === this.#side.isOpen) return;
    if (isOpen) {
      await this.open(this.#httpPort);
    } else {
      this.#notices.end();
      await this.#side.close();
    }
  }

  /** As when the engines' process dies: what was kept is gone, and the engines have other ids. */
  restart(): void {
    this.#leases.clear();
    for (const engine of this.#engines) {
      engine.clear();
      engine.cache.reset();
      engine.cpuCache?.reset();
    }
    this.#beginAnew();
  }

  /** Whether requests by this route can have something to hand over. */
  concerns(path: string): boolean {
    return ID_AFFIXES.has(path);
  }

  /** The request as connectors see it. Throws an ApiError. */
  requestOf(path: string, id: string, body: Fields): KvRequest {
    const affixes = ID_AFFIXES.get(path) ?? [''];
    const chance = `-${randomBytes(4).toString('hex')}`;
    const params = objectField(body, 'kv_transfer_params');
    return { id, engineRequestId: affixes.join(id) + chance, body, params };
  }

  fetch(source: KvSource): KvFetch {
    const { clock } = this.#options;
    return new KvFetch(source, {
      ...{ clock, client: this.#client, leaseMs: this.settings.leaseMs, known: this.#known },
      onUnheard: () => {
        const [first] = this.#stats;
        if (first) first.failedNotifications++;
      },
    });
  }

  keep(key: string, kept: Kept): void {
    this.#leases.keep(key, kept);
  }

  free(key: string): void {
    this.#leases.free(key);
  }

  /** The blocks of a prompt go to a worker that keeps them under their contents; the router hears when they are there. */
  send(
    { host, port, requestId, ranks }: Extract<Handing, { readonly kind: 'send' }>,
    hashes: Uint32Array,
  ): void {
    const { ms } = this.transferOf((hashes.length >>> 1) * this.#options.model.blockSize, 0);
    const text = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength).toString('base64');
    this.#client.post({ host, port }, '/store', { hashes: text }, (status) => {
      if (status === 200) this.#options.clock.after(ms, () => this.#notices.sent(requestId, ranks));
    });
  }

  engineIdOf(engine: WorkerModel): string {
    return this.#engineIds[this.#engines.indexOf(engine)] ?? '';
  }

  statsOf(engine: WorkerModel): TransferStats {
    const stats = this.#stats[this.#engines.indexOf(engine)];
    if (!stats) throw new RangeError('an engine of another worker');
    return stats;
  }

  /** What bringing so many tokens takes: whole blocks are moved. `moreMs` comes on top. */
  transferOf(tokens: number, moreMs: number): { readonly ms: number; readonly bytes: number } {
    const { blockSize, timeScale } = this.#options.model;
    const bytes = Math.ceil(tokens / blockSize) * blockSize * this.settings.bytesPerToken;
    return { bytes, ms: (bytes / this.settings.bytesPerSecond) * 1000 * timeScale + moreMs };
  }

  record(engine: WorkerModel, ms: number, bytes: number): void {
    const stats = this.statsOf(engine);
    stats.xferTime.observe(ms / 1000);
    stats.bytes.observe(bytes);
    // Keys and values, of neighbouring blocks in one piece.
    stats.descriptors.observe(2);
  }

  #store(base64: string): void {
    const bytes = Buffer.from(base64, 'base64');
    const hashes = new Uint32Array(bytes.length >>> 2);
    for (let i = 0; i < hashes.length; i++) hashes[i] = bytes.readUInt32LE(4 * i);
    for (const { cpuCache } of this.#engines)
      for (let i = (hashes.length >>> 1) - 1; i >= 0; i--) cpuCache?.keep(hashes, i);
  }

  /** What Mooncake's bootstrap server knows of the ranks: engine ids, and addresses by tensor and pipeline rank. */
  #bootstrapEntries(): object {
    const { host, port } = this.self;
    const worker_addr = { 0: { 0: `tcp://${host}:${port}` } };
    return Object.fromEntries(this.#engineIds.map((engine_id, rank) => [rank, { engine_id, worker_addr }]));
  }

  #beginAnew(): void {
    const id = this.settings.engineId ?? randomUUID();
    this.#engineIds = this.#engines.map((_, rank) => (rank === 0 ? id : `${id}_dp${rank}`));
  }

  #asked(
    path: string,
    body: Fields,
    answer: (answer: SideAnswer) => void,
    gone: (left: () => void) => void,
  ): void {
    const key = String(body['key']);
    switch (path) {
      case '/fetch': {
        const engineId = body['engine_id'];
        if (engineId !== undefined && !this.#engineIds.some((id) => id === engineId)) {
          answer({ status: 409, body: { error: 'another engine' } });
        } else if (this.#leases.find(key)) {
          answer({ status: 200, body: {} });
        } else if (body['waits'] === true) {
          gone(this.#leases.wait(key, () => answer({ status: 200, body: {} })));
        } else {
          answer({ status: 404, body: { error: 'no such blocks' } });
        }
        return;
      }
      case '/store':
        this.#store(String(body['hashes']));
        answer({ status: 200, body: {} });
        return;
      case '/query':
        answer({ status: 200, body: this.#bootstrapEntries() });
        return;
      case '/heartbeat':
        this.#leases.extend(key);
        answer({ status: 200, body: {} });
        return;
      case '/free': {
        const [first] = this.#stats;
        if (!this.#leases.free(key) && first) first.lateNotifications++;
        answer({ status: 200, body: {} });
        return;
      }
      default:
        answer({ status: 404, body: { error: 'no such path' } });
    }
  }
}
