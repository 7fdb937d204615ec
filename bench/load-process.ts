import { join } from 'node:path';
import { LOAD_CORE, spawnOn } from './cores.ts';
import type { Counted, Held, Measured, Message, Order } from './load/protocol.ts';
import { stopChild } from './processes.ts';

type OrderOf<K extends Order['kind']> = Extract<Order, { kind: K }>;

/** The other core: clients and canned workers. */
export interface LoadProcess {
  readonly workerPorts: readonly number[];
  measure(order: OrderOf<'closed' | 'open' | 'streams'>): Promise<Measured>;
  hold(order: OrderOf<'hold'>): Promise<Held>;
  count(order: OrderOf<'counted'>): Promise<Counted>;
  stop(): Promise<void>;
}

export async function startLoad(workers = 4): Promise<LoadProcess> {
  const args = [join(import.meta.dirname, 'load/main.ts'), String(workers)];
  const child = spawnOn(LOAD_CORE, process.execPath, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const nextMessage = (): Promise<Message> =>
    new Promise((resolve, reject) => {
      const onExit = (): void => {
        reject(new Error('the load process stopped'));
      };
      child.once('exit', onExit);
      child.once('message', (message) => {
        child.off('exit', onExit);
        // The other end is load/main.ts, which sends nothing else.
        resolve(message as Message);
      });
    });
  const ask = async (order: Order): Promise<Message> => {
    const answer = nextMessage();
    child.send(order);
    const message = await answer;
    if (message.kind === 'failed') throw new Error(`the load process failed: ${message.reason}`);
    return message;
  };
  const ready = await nextMessage();
  if (ready.kind !== 'ready') throw new Error('the load process did not get ready');
  return {
    workerPorts: ready.workerPorts,
    async measure(order) {
      const answer = await ask(order);
      if (answer.kind !== 'measured') throw new Error(`unexpected answer ${answer.kind}`);
      return answer.result;
    },
    async hold(order) {
      const answer = await ask(order);
      if (answer.kind !== 'held') throw new Error(`unexpected answer ${answer.kind}`);
      return answer.result;
    },
    async count(order) {
      const answer = await ask(order);
      if (answer.kind !== 'counted') throw new Error(`unexpected answer ${answer.kind}`);
      return answer.result;
    },
    stop: () => stopChild(child),
  };
}
