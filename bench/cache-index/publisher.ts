/** A thread that publishes what one engine tells, as often as it was told to; its port is its first message. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../src/base/system-clock.ts';
import { PubSocket } from '../../src/zmtp/pub.ts';
import { eventsOf, readRequests } from './workload.ts';
import { payloadOf } from './payloads.ts';
import { stepsOf } from './measure.ts';

export interface PublisherStart {
  /** Blocks stored and removed per second. */
  readonly operationsPerSecond: number;
  readonly trace: string | undefined;
}

const TICK_MS = 5;
const PIECES = 4;

// As `storm.ts` hands it over.
const { operationsPerSecond, trace } = workerData as PublisherStart;

const messages: { readonly bytes: Buffer; readonly operations: number }[] = [];
let pieces = 0;
for (const { events } of eventsOf(await readRequests(trace), 1)) {
  for (const step of stepsOf(events)) {
    // All of them as those of one engine.
    const operations = step.reduce(
      (sum, event) => sum + (event.kind === 'stored' ? event.blocks.names : event.names).length / 2,
      0,
    );
    messages.push({ bytes: payloadOf(step, messages.length), operations });
  }
  if (++pieces === PIECES) break;
}

const socket = await PubSocket.bind({ kind: 'tcp', host: '127.0.0.1', port: 0 }, { clock: systemClock });
parentPort?.postMessage(socket.endpoint);

let seq = 0;
let sent = 0;
const began = performance.now();
setInterval(() => {
  if (socket.subscribers === 0) return;
  const due = (operationsPerSecond * (performance.now() - began)) / 1000;
  // What could not be sent in time is not made up for all at once.
  for (let left = 2 * ((operationsPerSecond * TICK_MS) / 1000); left > 0 && sent < due;) {
    const { bytes, operations } = messages[seq % messages.length]!;
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(BigInt(seq++));
    socket.send([Buffer.alloc(0), number, bytes]);
    sent += operations;
    left -= operations;
  }
}, TICK_MS);
