/** A thread that wants all it can get of what limits requests, and looks whether others have more of it than they may. */
import assert from 'node:assert/strict';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { Places } from '../../src/base/places.ts';
import { PortChannel } from '../../src/base/port-channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { JoinedMemory, type Regions } from '../../src/base/thread-memory.ts';
import { BodyBytes } from '../../src/http/body.ts';
import { Allowance } from '../../src/limits/allowance.ts';
import type { AdmissionSettings } from '../../src/config/settings/settings.ts';
import { openDoor } from '../../src/limits/open-door.ts';

export interface Orders {
  readonly what: 'places' | 'bytes' | 'rate' | 'door';
  readonly regions: Regions;
  readonly rows: number;
  readonly self: number;
  /** Never more than so many may be inside at once. */
  readonly limit: number;
  /** How often it is to have a place, for `rate` how long it takes in ms; Infinity = until it is ended. */
  readonly turns: number;
  readonly port: MessagePort | undefined;
}

/** What it has done: places had; for `rate` what was granted, and until when (clock) it had all that there was. */
export interface Done {
  readonly taken: number;
  readonly until: number;
}

// Whoever starts it hands it these.
const orders = workerData as Orders;
const memory = new JoinedMemory(orders.regions, orders);
/** Those who are inside, counted beside the limit itself; and how many threads there are by now. */
const inside = new Int32Array(memory.region('inside', 8));
const THREADS = 1;

function meet(): void {
  Atomics.add(inside, THREADS, 1);
  while (Atomics.load(inside, THREADS) < orders.rows - 1) Atomics.wait(inside, THREADS, 1, 1);
}

function within(change: () => void): void {
  const count = Atomics.add(inside, 0, 1) + 1;
  assert.ok(count <= orders.limit, `${count} are inside`);
  change();
  Atomics.sub(inside, 0, 1);
}

function hammer(take: () => boolean, give: () => void): Done {
  meet();
  let taken = 0;
  while (taken < orders.turns) {
    if (!take()) continue;
    within(() => (taken += 1));
    give();
  }
  return { taken, until: 0 };
}

function spend(): Done {
  const allowance = new Allowance(systemClock, 1, 1, { memory, region: 'rate' });
  const end = systemClock.now() + orders.turns;
  let taken = 0;
  let until = 0;
  while (until < end) {
    const now = systemClock.now();
    if (allowance.take(1)) taken += 1;
    else until = now;
  }
  return { taken, until };
}

async function visit(port: MessagePort): Promise<Done> {
  const none: AdmissionSettings = {
    ...{ maxConcurrent: 0, queueSize: 0, queueTimeoutMs: 0, ratePerSecond: undefined },
  };
  const door = openDoor(none, systemClock, { kind: 'request', memory, channel: new PortChannel(port) });
  let taken = 0;
  const guest = async (flow: string): Promise<void> => {
    for (let turn = 0; turn < orders.turns; turn += 1) {
      const entry = door.enter({ flow, priority: 'normal', tokens: () => 300 });
      const outcome = entry.kind === 'waiting' ? await entry.wait : entry;
      if (outcome.kind !== 'admitted') throw new Error(outcome.kind);
      const count = Atomics.add(inside, 0, 1) + 1;
      assert.ok(count <= orders.limit, `${count} are inside`);
      if (turn % 3 > 0) await new Promise((resolve) => setImmediate(resolve));
      Atomics.sub(inside, 0, 1);
      if (turn % 2 === 0) outcome.ticket.settle(200);
      outcome.ticket.release();
      taken += 1;
      if (turn === 0) parentPort?.postMessage('begun');
    }
  };
  await Promise.all(['a', 'a', 'b'].map(guest));
  return { taken, until: 0 };
}

async function obey(): Promise<Done> {
  const places = (): Places => new Places(memory, 'places', 0);
  const bytes = (): BodyBytes => new BodyBytes(0, memory);
  switch (orders.what) {
    case 'places': {
      const mine = places();
      return hammer(
        () => mine.take(),
        () => {
          mine.give();
        },
      );
    }
    case 'bytes': {
      const mine = bytes();
      return hammer(
        () => mine.take(2 ** 31),
        () => {
          mine.give(2 ** 31);
        },
      );
    }
    case 'rate':
      return spend();
    case 'door':
      return visit(orders.port ?? assert.fail());
  }
}

parentPort?.postMessage(await obey());
orders.port?.close();
