import type { BodyKind } from './requests.ts';

/** What the measuring process asks of the load process, and what it answers. Times in ms, sizes in bytes. */
export type Order =
  | ({
      readonly kind: 'closed';
      readonly target: TargetAddress;
      readonly body: BodyKind;
      readonly connections: number;
    } & Window)
  | ({
      readonly kind: 'open';
      readonly target: TargetAddress;
      readonly body: BodyKind;
      readonly ratePerSecond: number;
      readonly arrivals: Arrivals;
      /** Used in turn; without it as few as will do. */
      readonly connections?: number;
    } & Window)
  | ({
      readonly kind: 'streams';
      readonly target: TargetAddress;
      readonly streams: number;
      readonly pace: Pace;
    } & Window)
  | {
      readonly kind: 'hold';
      readonly target: TargetAddress;
      readonly streams: number;
      readonly pace: Pace;
      readonly openPerSecond: number;
    }
  | {
      /** So many requests, however long they take. */
      readonly kind: 'counted';
      readonly target: TargetAddress;
      readonly body: BodyKind;
      readonly connections: number;
      readonly blocks: number;
      readonly perBlock: number;
    };

export type Arrivals = 'even' | 'poisson';

export interface Pace {
  readonly events: number;
  readonly stepMs: number;
}

export interface TargetAddress {
  /** Several are taken in turn: a direct connection to all workers. */
  readonly ports: readonly number[];
  /** Whose CPU time is measured; undefined for a direct connection. */
  readonly pid: number | undefined;
  /** Body bytes of a chat's answer behind it, where it changes them. */
  readonly answerBytes?: number | undefined;
}

interface Window {
  /** Load before the measurement begins. */
  readonly warmupMs: number;
  readonly windowMs: number;
}

export interface Measured {
  readonly windowMs: number;
  /** Requests answered in the window. */
  readonly requests: number;
  /** Server-sent events received in the window. */
  readonly events: number;
  readonly errors: number;
  /** The first problem met. */
  readonly problem: string | undefined;
  /** CPU time of the target over the window; 0 without one. */
  readonly cpuMs: number;
  /** What the workers were asked in the window besides the requests. */
  readonly questions: number;
  readonly latency: Latency | undefined;
}

export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface Held extends Measured {
  readonly opened: number;
  readonly openAtOnce: number;
  readonly completed: number;
  /** Most memory of the target while the streams were open. */
  readonly rss: number;
}

/** What was asked for by count. */
export interface Counted {
  /** CPU time of the target in each block of requests; fewer blocks than asked for where all connections broke. */
  readonly cpuMs: readonly number[];
  readonly errors: number;
  readonly problem: string | undefined;
}

export type Message =
  | { readonly kind: 'ready'; readonly workerPorts: readonly number[] }
  | { readonly kind: 'measured'; readonly result: Measured }
  | { readonly kind: 'held'; readonly result: Held }
  | { readonly kind: 'counted'; readonly result: Counted }
  | { readonly kind: 'failed'; readonly reason: string };
