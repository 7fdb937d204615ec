/** Whose events of their caches are followed, and where. Endpoints have `{host}` in the place of the worker's host. */
export interface KvEventSettings {
  /** `known`: of workers of which it is known where they publish. */
  readonly follows: 'all' | 'known' | 'none';
  /** Where the first rank publishes; the others on the ports behind it. */
  readonly endpoint: string;
  readonly replayPort: number | undefined;
  readonly topic: string;
  readonly ranks: number;
  /** Of single workers, by base URL. */
  readonly endpoints: ReadonlyMap<string, string>;
  /** Where publishers may connect. */
  readonly bind: string | undefined;
  /** Memory for what engines say they hold. */
  readonly maxIndexBytes: number;
}

/** The same of one worker, as far as it differs. */
export interface WorkerEventTraits {
  readonly endpoint: string | undefined;
  readonly port: number | undefined;
  readonly replayPort: number | undefined;
  readonly topic: string | undefined;
  readonly ranks: number | undefined;
}
