import { Encoder } from '@msgpack/msgpack';
import type { Clock, Timer } from '../../base/clock.ts';
import { readEndpoint } from '../../zmtp/endpoint.ts';
import { Sender } from '../../zmtp/sender.ts';
import { moriioAddress } from './connectors/moriio.ts';
import type { KvTransferSettings } from './settings.ts';

/** Both connectors of vLLM say so often that they are there. */
const PING_MS = 3000;

/** Notices; older ones are lost. */
const MAX_WAITING = 1000;

const encoder = new Encoder();

export interface NoticesOptions {
  readonly settings: KvTransferSettings;
  readonly host: string;
  readonly clock: Clock;
  readonly dpSize: number;
}

/** What a worker tells the router on a connection of its own: that it is there, or that the blocks of a request have been sent. */
export class RouterNotices {
  readonly #options: NoticesOptions;
  readonly #waiting: Uint8Array[] = [];
  #sender: Sender | undefined;
  #ping: Timer | undefined;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /** @param ports where it serves HTTP, and where other workers ask it. */
  begin(ports: { readonly http: number; readonly side: number }): void {
    const { settings, clock } = this.#options;
    const { connector, proxyAddress, role } = settings;
    const endpoint = proxyAddress === undefined ? undefined : readEndpoint(`tcp://${proxyAddress}`);
    if (!endpoint || this.#sender) return;
    const options = { clock, random: Math.random };
    if (connector === 'lmcache' && role === 'prefill')
      this.#sender = new Sender(endpoint, 'PUSH', options, { onReady: () => this.#sendWaiting() });
    if (connector !== 'p2p-nccl' && connector !== 'moriio') return;
    const payload = encoder.encode(this.#registration(ports));
    const ping = (): void => {
      this.#sender?.send([payload]);
      this.#ping?.refresh();
    };
    this.#sender = new Sender(endpoint, 'DEALER', options, { onReady: ping });
    this.#ping = clock.after(PING_MS, ping);
  }

  /** The blocks of this request were sent, by each of so many ranks. */
  sent(requestId: string, ranks: number): void {
    const notice = encoder.encode({ type: 'ProxyNotif', req_id: requestId });
    for (let rank = 0; rank < ranks; rank++) this.#waiting.push(notice);
    this.#waiting.splice(0, this.#waiting.length - MAX_WAITING);
    this.#sendWaiting();
  }

  /** As ZeroMQ, which keeps what is pushed while there is no connection. */
  #sendWaiting(): void {
    while (this.#waiting[0] && this.#sender?.send([this.#waiting[0]])) this.#waiting.shift();
  }

  end(): void {
    this.#ping?.cancel();
    this.#sender?.close();
    this.#ping = undefined;
    this.#sender = undefined;
  }

  #registration({ http, side }: { readonly http: number; readonly side: number }): object {
    const { settings, host, dpSize } = this.#options;
    const common = { type: settings.role === 'prefill' ? 'P' : 'D', http_address: `${host}:${http}` };
    if (settings.connector === 'p2p-nccl') return { ...common, zmq_address: `${host}:${side}` };
    return {
      ...common,
      zmq_address: moriioAddress(host, side),
      dp_size: dpSize,
      tp_size: settings.tpSize,
      transfer_mode: settings.transferMode,
    };
  }
}
