/** Where one rank of a worker publishes. */
export interface RankSource {
  readonly rank: number;
  /** `tcp://host:port`; undefined where its publisher connects to us. */
  readonly endpoint: string | undefined;
  /** Undefined where nobody can be asked for what was missed. */
  readonly replayEndpoint: string | undefined;
  /** What its topics begin with; '' for any. */
  readonly topic: string;
}

/** A worker whose events are to be followed. */
export interface EventWorker {
  readonly slot: number;
  /** Which stay in the slot it is. */
  readonly generation: number;
  /** `host:port` of its URL, by which publishers that connect to us name it. */
  readonly address: string;
  /** Names that it serves; empty while they are not known. */
  readonly models: readonly string[];
  readonly sources: readonly RankSource[];
}

export function sameSource(one: RankSource, other: RankSource | undefined): boolean {
  return (
    one.rank === other?.rank &&
    one.endpoint === other.endpoint &&
    one.replayEndpoint === other.replayEndpoint &&
    one.topic === other.topic
  );
}
