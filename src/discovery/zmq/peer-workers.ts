import { isDeepStrictEqual } from 'node:util';
import type { KvTransferTraits, PdStage } from '../../config/settings/settings.ts';
import type { RegistryEvent } from '../../workers/roster.ts';
import type { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { LivePeer } from './live-peers.ts';

/** What a worker that registers itself is to be registered as. */
export interface PeerRegistration {
  readonly url: string;
  readonly role: PdStage;
  readonly kvTransfer: KvTransferTraits;
}

/** How others, and this part, have workers registered and removed. */
export interface PeerRegistrar {
  /** Has it probed, and brought in once it answers; one that is leaving stays. @returns whether that is under way, or done. */
  add(registration: PeerRegistration): boolean;
  /** Takes it out of service; requests that it has are finished. */
  remove(url: string): void;
  /** Whether it is being probed. */
  isJoining(url: string): boolean;
  /** Whether it came by `add`. */
  isOwn(worker: Worker): boolean;
  /** All ranks of a server. */
  workersOf(url: string): readonly Worker[];
}

/**
 * `withdrawn`: somebody has removed the worker, which stays away until it has been silent. `waiting`: an earlier one of that URL has
 * not left yet, or there is no room for more registrations. `other_role`: it was registered before by somebody else as something else.
 */
export const PEER_STATES = ['joining', 'serving', 'withdrawn', 'waiting', 'other_role'] as const;
export type PeerState = (typeof PEER_STATES)[number];

interface PeerWorkersDeps {
  readonly registry: Pick<WorkerRegistry, 'setTraits'>;
  readonly registrar: PeerRegistrar;
  readonly live: (url: string) => LivePeer | undefined;
  readonly onWithdrawn: (url: string) => void;
}

/**
 * Keeps the registry in step with the workers that register themselves: they join as those of the worker API do, and leave when they are
 * silent. One that was registered before, by its configuration or the API, stays what it is: only what it says of itself is learnt.
 */
export class PeerWorkers {
  readonly #deps: PeerWorkersDeps;
  readonly #withdrawn = new Set<string>();
  /** Removed because they were silent, and still with requests. */
  readonly #leaving = new Set<string>();

  constructor(deps: PeerWorkersDeps) {
    this.#deps = deps;
  }

  stateOf({ url, message }: LivePeer): PeerState {
    if (this.#withdrawn.has(url)) return 'withdrawn';
    const { registrar } = this.#deps;
    const [first] = registrar.workersOf(url);
    if (!first) return registrar.isJoining(url) ? 'joining' : 'waiting';
    if (first.traits.role !== message.role) return registrar.isOwn(first) ? 'waiting' : 'other_role';
    return first.draining ? 'waiting' : 'serving';
  }

  /** It has said that it is there. */
  see(peer: LivePeer): void {
    const { url } = peer;
    if (this.#withdrawn.has(url)) return;
    const { registrar } = this.#deps;
    const workers = registrar.workersOf(url);
    const [first] = workers;
    if (!first) {
      if (!registrar.isJoining(url)) this.#add(peer);
    } else if (!registrar.isOwn(first)) {
      for (const worker of workers) this.#learn(worker, peer);
    } else if (first.draining) {
      if (!this.#leaving.has(url)) this.#withdraw(url);
      // Refused where it is another one than before: then the old one has to leave first.
      else this.#add(peer);
    }
  }

  /** It is silent. */
  lose({ url }: LivePeer): void {
    this.#withdrawn.delete(url);
    const { registrar } = this.#deps;
    const workers = registrar.workersOf(url);
    const [first] = workers;
    if (first && !registrar.isOwn(first)) {
      for (const worker of workers) this.#forget(worker);
    } else if (first ?? registrar.isJoining(url)) {
      if (first) this.#leaving.add(url);
      registrar.remove(url);
    }
  }

  /** What others do with workers. */
  onRegistry({ type, worker }: RegistryEvent): void {
    const { baseUrl } = worker.spec;
    const peer = this.#deps.live(baseUrl);
    if (type === 'left') {
      const isLast = this.#deps.registrar.workersOf(baseUrl).length === 0;
      if (isLast && !this.#leaving.delete(baseUrl) && peer) this.#withdraw(baseUrl);
      return;
    }
    if (type !== 'joined' && type !== 'traits') return;
    // Somebody has it registered again.
    if (type === 'joined') this.#withdrawn.delete(baseUrl);
    if (peer && !this.#deps.registrar.isOwn(worker)) this.#learn(worker, peer);
  }

  #withdraw(url: string): void {
    if (this.#withdrawn.has(url)) return;
    this.#withdrawn.add(url);
    this.#deps.onWithdrawn(url);
  }

  #add({ url, message }: LivePeer): void {
    const isUnderWay = this.#deps.registrar.add({
      ...{ url, role: message.role },
      kvTransfer: learntOf(message),
    });
    if (isUnderWay) this.#leaving.delete(url);
  }

  #learn(worker: Worker, { message }: LivePeer): void {
    const { traits } = worker;
    if (traits.role !== message.role) return;
    this.#set(worker, { ...traits.kvTransfer, ...learntOf(message) });
  }

  /** What was configured of it counts again. */
  #forget(worker: Worker): void {
    const { kvTransfer: said } = worker.spec.traits;
    const { zmqAddress, transferMode, dpSize, tpSize } = said ?? {};
    this.#set(worker, { ...worker.traits.kvTransfer, zmqAddress, transferMode, dpSize, tpSize });
  }

  #set(worker: Worker, kvTransfer: KvTransferTraits): void {
    if (isDeepStrictEqual(known(worker.traits.kvTransfer), known(kvTransfer))) return;
    this.#deps.registry.setTraits(worker, { ...worker.traits, kvTransfer });
  }
}

function learntOf({ zmqAddress, transferMode, dpSize, tpSize }: LivePeer['message']): KvTransferTraits {
  return known({ zmqAddress, transferMode, dpSize, tpSize });
}

/** Without what is not known. */
function known(traits: KvTransferTraits | undefined): KvTransferTraits {
  return Object.fromEntries(Object.entries(traits ?? {}).filter(([, value]) => value !== undefined));
}
