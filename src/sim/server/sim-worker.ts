import type { WorkerModel } from '../engine/worker-model.ts';
import type { KvEventPorts } from '../kv-events/event-publisher.ts';
import type { KvTransferState } from '../kv-transfer/settings.ts';
import type { SeenRequest } from './exchange.ts';
import type { Fault } from './faults.ts';

export interface SimEvent {
  /** `request`: read completely; the others are how it ended (`SeenRequest.outcome`). */
  readonly type: 'request' | 'finished' | 'aborted' | 'cut';
  readonly request: SeenRequest;
}

/** A simulated vLLM server that is listening. */
export interface SimWorker extends AsyncDisposable {
  /** `http://host:port`, `https://host:port` or `unix:///path`. */
  readonly url: string;
  readonly host: string;
  /** 0 on a unix socket. */
  readonly port: number;
  /** One per data-parallel rank. */
  readonly engines: readonly WorkerModel[];
  /** The first engine. */
  readonly model: WorkerModel;
  /** Where its cache events are published, by rank; empty where they are not. */
  readonly kvEvents: readonly KvEventPorts[];
  /** Connections that subscribe to them. */
  readonly kvSubscribers: number;
  /** Where it hands KV cache over to others, or takes it over; undefined where it does neither. */
  readonly kvTransfer: KvTransferState | undefined;
  /** The latest requests, oldest first. */
  readonly seen: readonly SeenRequest[];
  readonly counts: Readonly<Record<SimEvent['type'], number>>;
  readonly faults: readonly Fault[];
  /** Replaces all faults; resolves when the listener is up or down as they say. Throws a RangeError on a bad one. */
  setFaults(faults: readonly unknown[]): Promise<void>;
  /** Tells every event; returns how to stop it. */
  on(listener: (event: SimEvent) => void): () => void;
  /** The next such event; where nothing else is said, of a request that is no GET: who looks at a worker may do so at any time. */
  next(type: SimEvent['type'], match?: (request: SeenRequest) => boolean): Promise<SimEvent>;
  clearSeen(): void;
  /** Cuts every connection and frees the port. */
  stop(): Promise<void>;
}
