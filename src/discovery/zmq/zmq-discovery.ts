import type { Clock, Timer } from '../../base/clock.ts';
import type { PdDiscoverySettings } from '../../config/settings/pd-settings.ts';
import type { Log } from '../../observe/log.ts';
import type { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Endpoint } from '../../zmtp/endpoint.ts';
import type { Peer } from '../../zmtp/peer.ts';
import { RouterSocket } from '../../zmtp/router.ts';
import { AllowedAddresses, type InterfaceAddress } from './allowed-addresses.ts';
import { LivePeers, PEER_TTL_MS, type LivePeer } from './live-peers.ts';
import { readPeerMessage, type PeerMessage } from './peer-message.ts';
import { PeerWorkers, type PeerRegistrar, type PeerState } from './peer-workers.ts';
import { Refusals, type Refusal } from './refusals.ts';

/** A message has some hundred bytes; a REQ puts an empty frame before it. */
const LIMITS = { maxFrameBytes: 4096, maxFrames: 4 };
/** Of the workers that there may be, each with two connections. */
const MAX_CONNECTIONS = 2048;
const SWEEP_MS = 500;
/** A connection that says nothing that counts for so long gives its place to another one. */
const IDLE_CONNECTION_MS = 3 * PEER_TTL_MS;

export interface ZmqDiscoveryDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: WorkerRegistry;
  readonly registrar: PeerRegistrar;
  readonly interfaces: () => readonly InterfaceAddress[];
  readonly onRefused: (refusal: Refusal) => void;
  readonly onChange: (change: 'added' | 'removed') => void;
}

/** What is known of a worker that registers itself. */
export interface PeerView {
  readonly zmqAddress: string;
  /** Whence its messages come. */
  readonly from: string | undefined;
  readonly ageMs: number;
  readonly silentMs: number;
}

/**
 * Where workers of P2P-NCCL and MoRI-IO register themselves, over ZeroMQ. Nobody has to prove who he is: what is said is bounded
 * (`AllowedAddresses`), probed before it gets a request, and forgotten when it is not said again.
 */
export class ZmqDiscovery {
  readonly #deps: ZmqDiscoveryDeps;
  readonly #live: LivePeers;
  readonly #workers: PeerWorkers;
  readonly #refusals: Refusals;
  /** By connection: `clock.now()` of the last message that counted, or of its first sight. */
  readonly #connections = new Map<Peer, number>();
  #settings: PdDiscoverySettings;
  #allowed: AllowedAddresses | undefined;
  #ownPorts: readonly number[] = [];
  #socket: RouterSocket | undefined;
  #sweep: Timer | undefined;
  #sweptAt = 0;
  /** The latest look was left out. */
  #isPutOff = false;
  #unsubscribe: () => void = () => undefined;

  constructor(settings: PdDiscoverySettings, deps: ZmqDiscoveryDeps) {
    const { clock, log, registry, registrar } = deps;
    this.#settings = settings;
    this.#deps = deps;
    this.#live = new LivePeers(clock);
    this.#workers = new PeerWorkers({
      ...{ registry, registrar, live: (url) => this.#live.get(url) },
      onWithdrawn: (worker) => {
        log.info({ worker }, 'the worker was removed, and stays away until it has been silent');
      },
    });
    this.#refusals = new Refusals({
      ...{ clock, count: deps.onRefused },
      warn: (fields, text) => {
        log.warn(fields, text);
      },
    });
  }

  /** Rejects with the system's error where nobody can listen there. Nobody is heard before `begin`. */
  async listen(endpoint: Endpoint): Promise<void> {
    const { clock } = this.#deps;
    this.#socket = await RouterSocket.bind(
      endpoint,
      { clock, limits: LIMITS, maxPeers: MAX_CONNECTIONS },
      (frames, _, from) => {
        this.#onMessage(frames, from);
      },
      {
        onEnd: ({ cause, message }, from) => {
          if (cause !== 'closed') this.#refusals.note('connection', { from: from.address, cause, message });
        },
        onRefused: () => {
          this.#refusals.note('connection', { cause: 'too_many' });
        },
      },
    );
  }

  /** Where it listens, with the port that it was given. */
  get endpoint(): Endpoint | undefined {
    return this.#socket?.endpoint;
  }

  /** @param ownPorts Where the router listens. */
  begin(ownPorts: readonly number[]): void {
    const { clock, log, registry } = this.#deps;
    const { address, allow } = this.#settings;
    this.#ownPorts = ownPorts;
    this.#allow();
    log.info({ address, allow }, 'workers may register themselves');
    this.#unsubscribe = registry.on((event) => {
      this.#workers.onRegistry(event);
    });
    this.#sweptAt = clock.now();
    this.#sweep = clock.after(SWEEP_MS, () => {
      this.#lookRound();
    });
  }

  /** Who is outside of what is allowed now leaves. */
  reconfigure(settings: PdDiscoverySettings): void {
    this.#settings = settings;
    if (!this.#allowed) return;
    this.#allow();
    this.#drop((peer) => this.#problemOf(peer.message) === undefined);
  }

  /** The workers stay as they are. */
  async close(): Promise<void> {
    this.#unsubscribe();
    this.#sweep?.cancel();
    this.#allowed = undefined;
    await this.#socket?.close();
  }

  /** Undefined where it does not register itself. */
  of({ spec }: Worker): PeerView | undefined {
    const peer = this.#live.get(spec.baseUrl);
    if (!peer) return undefined;
    const now = this.#deps.clock.now();
    return {
      zmqAddress: peer.message.zmqAddress,
      from: peer.from,
      ageMs: now - peer.since,
      silentMs: now - peer.heardAt,
    };
  }

  get counts(): Readonly<Record<PeerState, number>> {
    const counts = { joining: 0, serving: 0, withdrawn: 0, waiting: 0, other_role: 0 };
    for (const peer of this.#live.all) counts[this.#workers.stateOf(peer)] += 1;
    return counts;
  }

  #allow(): void {
    const { interfaces } = this.#deps;
    const own = this.#socket?.endpoint;
    const ports = own?.kind === 'tcp' ? [...this.#ownPorts, own.port] : this.#ownPorts;
    this.#allowed = new AllowedAddresses(this.#settings.allow, interfaces(), ports);
  }

  #onMessage(frames: readonly Buffer[], from: Peer): void {
    // It is not known yet where the router itself listens; whoever is there says it again.
    if (!this.#allowed) return;
    const message = readPeerMessage(frames.at(-1) ?? Buffer.alloc(0));
    if ('problem' in message) {
      this.#refusals.note(message.problem, { from: from.address });
      return;
    }
    const heard = this.#hear(message, from.address);
    if (heard) this.#connections.set(from, heard.heardAt);
  }

  #hear(message: PeerMessage, from: string | undefined): LivePeer | undefined {
    const about = { from, http: message.http, zmq_address: message.zmqAddress };
    const problem = this.#problemOf(message);
    if (problem) {
      this.#refusals.note(problem, about);
      return undefined;
    }
    const heard = this.#live.hear(message, from);
    if (heard.kind === 'refused') {
      this.#refusals.note(heard.problem, about);
      return undefined;
    }
    const { peer } = heard;
    if (heard.kind === 'new') {
      const { log, onChange } = this.#deps;
      onChange('added');
      log.info(
        { worker: peer.url, role: message.role, zmq_address: message.zmqAddress, from },
        'a worker registers itself',
      );
    }
    this.#workers.see(peer);
    return peer;
  }

  #problemOf({ http, zmq }: PeerMessage): Refusal | undefined {
    for (const address of [http, ...zmq]) {
      const problem = this.#allowed?.problemOf(address);
      if (problem) return problem;
    }
    return undefined;
  }

  #lookRound(): void {
    const now = this.#deps.clock.now();
    // Where this thread stood still, what was sent meanwhile is to be read first: once, since a busy thread may always be late.
    const isLate = !this.#isPutOff && now - this.#sweptAt > 2 * SWEEP_MS;
    this.#isPutOff = isLate;
    this.#sweptAt = now;
    if (!isLate) {
      this.#drop();
      this.#dropConnections(now);
    }
    this.#sweep?.refresh();
  }

  #drop(wanted?: (peer: LivePeer) => boolean): void {
    const { log, onChange } = this.#deps;
    for (const peer of this.#live.drop(wanted)) {
      onChange('removed');
      log.info(
        { worker: peer.url, role: peer.message.role, silent_secs: this.#silentSecs(peer) },
        'a worker no longer registers itself, and leaves',
      );
      this.#workers.lose(peer);
    }
  }

  #dropConnections(now: number): void {
    const there = this.#socket?.peers ?? new Set<Peer>();
    for (const peer of this.#connections.keys()) if (!there.has(peer)) this.#connections.delete(peer);
    for (const peer of there) {
      const heardAt = this.#connections.get(peer);
      if (heardAt === undefined) this.#connections.set(peer, now);
      else if (now - heardAt > IDLE_CONNECTION_MS) {
        this.#refusals.note('connection', { from: peer.address, cause: 'silent' });
        this.#connections.delete(peer);
        peer.close();
      }
    }
  }

  #silentSecs({ heardAt }: LivePeer): number {
    return Math.round((this.#deps.clock.now() - heardAt) / 100) / 10;
  }
}
