import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Endpoint } from '../../zmtp/endpoint.ts';
import { PubSocket } from '../../zmtp/pub.ts';
import { RouterSocket, type Reply } from '../../zmtp/router.ts';
import type { MessageFaults } from '../server/fault-set.ts';
import { encodeBatch } from './encode-batch.ts';
import type { KvEvent } from './kv-event.ts';
import { MessageBuffer } from './message-buffer.ts';
import type { KvEventSettings } from './settings.ts';

/** vLLM bounds messages alone; a machine that runs many simulated workers needs a bound in bytes. */
const BUFFER_BYTES = 64 * 1024 * 1024;
const SEQUENCE_BYTES = 8;
/** In the place of a sequence: nothing more follows. */
const END = Buffer.alloc(SEQUENCE_BYTES, 0xff);
const NOTHING = Buffer.alloc(0);

export interface PublisherOptions {
  readonly settings: KvEventSettings;
  readonly host: string;
  /** In the data-parallel group of its worker. */
  readonly rank: number;
  readonly clock: Clock;
  /** What goes wrong with the next message; asked once for each. */
  readonly faults: () => MessageFaults;
  /** What goes wrong with the next request for old messages. */
  readonly replayFaults: () => MessageFaults;
}

/** Where subscribers reach one rank. */
export interface KvEventPorts {
  readonly port: number;
  readonly replayPort: number | undefined;
}

/** Sends the cache events of one engine as vLLM's ZMQ publisher does, and answers who asks for old messages again. */
export class EventPublisher {
  readonly #options: PublisherOptions;
  readonly #topic: Buffer;
  readonly #buffer: MessageBuffer;
  #sequence = 0;
  #pub: PubSocket | undefined;
  #replay: RouterSocket | undefined;
  #ports: KvEventPorts | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#topic = Buffer.from(options.settings.topic);
    this.#buffer = new MessageBuffer(options.settings.bufferSteps, BUFFER_BYTES);
  }

  /** Undefined before the first `open`; the same ever after. */
  get ports(): KvEventPorts | undefined {
    return this.#ports;
  }

  get isOpen(): boolean {
    return this.#pub !== undefined;
  }

  get subscribers(): number {
    return this.#pub?.subscribers ?? 0;
  }

  /** Rejects with the system's error where it cannot listen. */
  async open(): Promise<void> {
    const { settings, rank, clock } = this.#options;
    const options = { clock };
    const port = this.#ports?.port ?? portOf(settings.port, rank);
    this.#pub = await PubSocket.bind(this.#endpoint(port), options);
    const replayPort =
      this.#ports?.replayPort ??
      (settings.replayPort === 'none' ? undefined : portOf(settings.replayPort, rank));
    if (replayPort !== undefined) {
      const onAsked = (frames: readonly Buffer[], reply: Reply): void => this.#asked(frames, reply);
      this.#replay = await RouterSocket.bind(this.#endpoint(replayPort), options, onAsked).catch(
        async (error: unknown) => {
          await this.close();
          throw error;
        },
      );
    }
    this.#ports = {
      port: portAt(this.#pub.endpoint) ?? port,
      replayPort: portAt(this.#replay?.endpoint),
    };
  }

  /** Every connection is cut; `open` listens at the same ports again. */
  async close(): Promise<void> {
    const pub = this.#pub;
    const replay = this.#replay;
    this.#pub = undefined;
    this.#replay = undefined;
    await Promise.all([pub?.close(), replay?.close()]);
  }

  /** A new process: it counts from 0 and has nothing to tell of before. */
  restart(): void {
    this.#sequence = 0;
    this.#buffer.clear();
  }

  /** One message. Nobody needs to listen: it can be asked for. */
  publish(events: readonly KvEvent[]): void {
    const { settings, rank, clock } = this.#options;
    const faults = this.#options.faults();
    const sequence = this.#sequence++;
    const payload = encodeBatch(events, clock.wall(), rank + (faults.wrongRank?.by ?? 0), settings);
    if (faults.lose?.forget !== true) this.#buffer.add(sequence, payload);
    if (faults.lose) return;
    const sent = faults.huge ? Buffer.alloc(faults.huge.bytes) : faults.garbage ? garbage() : payload;
    const send = (): void => void this.#pub?.send([this.#topic, sequenceBytes(sequence), sent]);
    if (faults.delay) clock.after(faults.delay.ms, send);
    else send();
  }

  /** `["", start]` of a DEALER, `[start]` of a REQ with its own empty frame; vLLM ignores everything else. */
  #asked(frames: readonly Buffer[], reply: Reply): void {
    const [empty, start] = frames;
    if (frames.length !== 2 || empty?.length !== 0 || start?.length !== SEQUENCE_BYTES) return;
    const since = start.readBigUInt64BE();
    const answer = (): void => {
      for (const { sequence, payload } of this.#buffer.since(since))
        reply(this.#framed(this.#topic, sequenceBytes(sequence), payload));
      reply(this.#framed(NOTHING, END, NOTHING));
    };
    const { lateReplay } = this.#options.replayFaults();
    if (lateReplay) this.#options.clock.after(lateReplay.ms, answer);
    else answer();
  }

  #framed(topic: Buffer, sequence: Buffer, payload: Buffer): readonly Buffer[] {
    const isNewest = this.#options.settings.replayFraming === 'newest';
    return isNewest ? [NOTHING, topic, sequence, payload] : [NOTHING, sequence, payload];
  }

  #endpoint(port: number): Endpoint {
    return { kind: 'tcp', host: this.#options.host, port };
  }
}

/** vLLM counts ranks up from a port that was given; 0 is any free one for each. */
function portOf(first: number, rank: number): number {
  return first === 0 ? 0 : first + rank;
}

function portAt(endpoint: Endpoint | undefined): number | undefined {
  return endpoint?.kind === 'tcp' ? endpoint.port : undefined;
}

function sequenceBytes(sequence: number): Buffer {
  const bytes = Buffer.alloc(SEQUENCE_BYTES);
  bytes.writeBigUInt64BE(BigInt(sequence));
  return bytes;
}

/** 0xc1 is the one byte that msgpack never uses. */
function garbage(): Buffer {
  return Buffer.concat([Buffer.from([0xc1]), randomBytes(63)]);
}
