/**
 * The load process: the clients and the canned workers in one event loop, so that nothing but this process runs on the
 * second core. Takes orders over IPC, one at a time.
 */
import { CannedWorker } from './canned-worker.ts';
import { runClosed, runCounted, runHold, runOpen, runStreams } from './loads.ts';
import type { Message, Order } from './protocol.ts';

const workers = Array.from({ length: Number(process.argv[2]) }, () => new CannedWorker());
const urls = await Promise.all(workers.map((worker) => worker.listen()));

process.on('message', (order: Order) => {
  const rest = staysAwake();
  void carryOut(order)
    .finally(rest)
    .then(say, (error: unknown) => {
      say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
    });
});
// The measuring process is gone.
process.on('disconnect', () => process.exit(1));
say({ kind: 'ready', workerPorts: urls.map((url) => Number(new URL(url).port)) });

async function carryOut(order: Order): Promise<Message> {
  switch (order.kind) {
    case 'closed':
      return { kind: 'measured', result: await runClosed(order, workers) };
    case 'open':
      return { kind: 'measured', result: await runOpen(order, workers) };
    case 'streams':
      return { kind: 'measured', result: await runStreams(order, workers) };
    case 'hold':
      return { kind: 'held', result: await runHold(order, workers) };
    case 'counted':
      return { kind: 'counted', result: await runCounted(order) };
  }
}

/**
 * Polls instead of sleeping while it measures. To wake a sleeping peer on the same machine costs the sender as much as
 * all else it does to send a small message, and the peers of a slow target sleep more: it would pay for being slow twice.
 */
function staysAwake(): () => void {
  let awake = true;
  const turn = (): void => {
    if (awake) setImmediate(turn);
  };
  turn();
  return () => {
    awake = false;
  };
}

function say(message: Message): void {
  process.send?.(message);
}
