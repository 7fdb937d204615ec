import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { DEFAULT_TRAITS, type KvTransferTraits, type WorkerTraits } from '../../config/settings/settings.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import type { Worker } from '../../workers/worker.ts';
import type { LivePeer } from './live-peers.ts';
import type { PeerMessage } from './peer-message.ts';
import { PeerWorkers, type PeerRegistration } from './peer-workers.ts';

const URL_A = 'http://10.0.0.1:8000';

/** A registrar whose jobs end when the test says so. */
class Bench {
  readonly registry: WorkerRegistry;
  readonly workers: PeerWorkers;
  readonly calls: string[] = [];
  readonly #own = new Set<string>();
  readonly #joining = new Map<string, PeerRegistration>();
  #live: LivePeer | undefined;

  constructor() {
    const clock = new VirtualClock();
    const ledger = new LoadLedger(clock);
    this.registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
    this.workers = new PeerWorkers({
      registry: this.registry,
      live: (url) => (this.#live?.url === url ? this.#live : undefined),
      onWithdrawn: (url) => this.calls.push(`withdrawn ${url}`),
      registrar: {
        add: (registration) => this.#add(registration),
        remove: (url) => {
          this.calls.push('remove');
          this.#joining.delete(url);
          for (const worker of this.#workersOf(url)) worker.draining = true;
        },
        isJoining: (url) => this.#joining.has(url),
        isOwn: ({ id }) => this.#own.has(id),
        workersOf: (url) => this.#workersOf(url),
      },
    });
    this.registry.on((event) => this.workers.onRegistry(event));
  }

  get worker(): Worker {
    return this.registry.get(URL_A) ?? assert.fail('it is not there');
  }

  see(more: Partial<PeerMessage> = {}): string {
    const message: PeerMessage = {
      ...{ role: 'prefill', http: { ip: '10.0.0.1', port: 8000 }, zmqAddress: '10.0.0.1:1', zmq: [] },
      ...{ transferMode: undefined, dpSize: undefined, tpSize: undefined, ...more },
    };
    this.#live = { message, url: URL_A, since: 0, heardAt: 0, from: undefined };
    this.workers.see(this.#live);
    return this.workers.stateOf(this.#live);
  }

  lose(): void {
    const gone = this.#live ?? assert.fail();
    this.#live = undefined;
    this.workers.lose(gone);
  }

  /** The probe has found it well. */
  joined(): void {
    const { url, role, kvTransfer } = this.#joining.get(URL_A) ?? assert.fail('it is not being probed');
    this.#joining.delete(url);
    this.#own.add(url);
    this.add({ role, kvTransfer });
  }

  add(traits: Partial<WorkerTraits>): void {
    const all = { ...DEFAULT_TRAITS, ...traits };
    this.registry.add({ baseUrl: URL_A, id: URL_A, rank: undefined, apiKey: undefined, traits: all });
  }

  /** Its drain is over, whoever began it. */
  left(): void {
    const { worker } = this;
    this.#own.delete(worker.id);
    this.registry.remove(worker);
  }

  #workersOf(url: string): Worker[] {
    const worker = this.registry.get(url);
    return worker ? [worker] : [];
  }

  #add(registration: PeerRegistration): boolean {
    const [known] = this.#workersOf(registration.url);
    const isSame = known?.traits.kvTransfer?.zmqAddress === registration.kvTransfer.zmqAddress;
    if (known && !isSame) return false;
    this.calls.push(known ? 'undrain' : 'add');
    if (known) known.draining = false;
    else this.#joining.set(registration.url, registration);
    return true;
  }
}

describe('a worker that registers itself', () => {
  it('is probed once, joins with what it says, and leaves when it is silent', () => {
    const bench = new Bench();
    assert.deepEqual([bench.see(), bench.see()], ['joining', 'joining']);
    bench.joined();
    assert.equal(bench.see(), 'serving');
    const { role, kvTransfer } = bench.worker.traits;
    assert.deepEqual([role, kvTransfer], ['prefill', { zmqAddress: '10.0.0.1:1' }]);
    bench.lose();
    assert.equal(bench.worker.draining, true);
    bench.left();
    assert.deepEqual(bench.calls, ['add', 'remove']);
    bench.see();
    bench.lose();
    assert.deepEqual(bench.calls, ['add', 'remove', 'add', 'remove']);
  });

  it('stays where it is heard again before its last request has ended', () => {
    const bench = new Bench();
    bench.see();
    bench.joined();
    bench.lose();
    assert.equal(bench.see(), 'serving');
    assert.deepEqual(bench.calls, ['add', 'remove', 'undrain']);
  });

  it('that comes back with another address waits until the old one has left', () => {
    const bench = new Bench();
    bench.see();
    bench.joined();
    bench.lose();
    assert.equal(bench.see({ zmqAddress: '10.0.0.1:2' }), 'waiting');
    bench.left();
    assert.equal(bench.see({ zmqAddress: '10.0.0.1:2' }), 'joining');
    bench.joined();
    assert.equal(bench.worker.traits.kvTransfer?.zmqAddress, '10.0.0.1:2');
  });

  it('stays away once somebody has removed it, until it has been silent or somebody registers it', () => {
    const bench = new Bench();
    bench.see();
    bench.joined();
    bench.worker.draining = true;
    assert.equal(bench.see(), 'withdrawn');
    bench.left();
    assert.equal(bench.see(), 'withdrawn');
    assert.deepEqual(bench.calls, ['add', `withdrawn ${URL_A}`]);
    bench.lose();
    assert.equal(bench.see(), 'joining');
    bench.joined();
    bench.left();
    assert.equal(bench.see(), 'withdrawn');
    bench.add({ role: 'prefill' });
    assert.equal(bench.see(), 'serving');
  });
});

describe('a worker that was registered before', () => {
  it('learns what it says, for as long as it says so, and again after it was described anew', () => {
    const bench = new Bench();
    const kvTransfer = { engineId: 'e', tpSize: 4 };
    bench.see();
    bench.add({ role: 'prefill', kvTransfer });
    const learnt = { ...kvTransfer, zmqAddress: '10.0.0.1:1' };
    assert.deepEqual(bench.worker.traits.kvTransfer, learnt);
    bench.registry.respec(bench.worker, { ...bench.worker.spec, apiKey: 'new' });
    assert.deepEqual(bench.worker.traits.kvTransfer, learnt);
    // Something else is learnt of it in another way.
    const { traits } = bench.worker;
    bench.registry.setTraits(bench.worker, { ...traits, kvTransfer: { ...learnt, engineIds: { 0: 'x' } } });
    bench.see();
    bench.lose();
    const left: KvTransferTraits = bench.worker.traits.kvTransfer ?? {};
    const { engineId, engineIds, tpSize, zmqAddress } = left;
    assert.deepEqual([engineId, engineIds, tpSize, zmqAddress], ['e', { 0: 'x' }, 4, undefined]);
    assert.equal(bench.worker.draining, false);
  });

  it('stays what it is where it says that it is something else', () => {
    const bench = new Bench();
    bench.add({ role: 'regular' });
    assert.equal(bench.see(), 'other_role');
    assert.equal(bench.worker.traits.kvTransfer, undefined);
    bench.lose();
    assert.equal(bench.worker.draining, false);
    assert.deepEqual(bench.calls, []);
  });
});
