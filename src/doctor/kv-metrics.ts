/** What a worker's metrics say of KV blocks that come from elsewhere. */
export interface KvMetrics {
  /** Prompt tokens whose blocks came from another engine, or from what engines share; undefined where it does not count them. */
  readonly externalHits: number | undefined;
  /** Whether it counts what NIXL does. */
  readonly hasNixl: boolean;
  /** Transfers of NIXL that failed. */
  readonly failedTransfers: number;
}

const LINE = /^vllm:(\w+)(?:\{([^}]*)\})?\s+([0-9.eE+-]+)/;
const ENGINE_LABEL = /(?:^|,)\s*engine="(\d+)"/;

/** @param rank Of the engine that is meant; undefined: all that the server has, together. */
export function readKvMetrics(exposition: string, rank: number | undefined): KvMetrics {
  let [externalHits, failedTransfers, hasNixl]: [number | undefined, number, boolean] = [undefined, 0, false];
  for (const line of exposition.split('\n')) {
    const [, name = '', labels = '', value] = LINE.exec(line) ?? [];
    if (rank !== undefined && Number(ENGINE_LABEL.exec(labels)?.[1] ?? 0) !== rank) continue;
    if (name.startsWith('nixl_')) hasNixl = true;
    if (name === 'external_prefix_cache_hits_total') externalHits = (externalHits ?? 0) + Number(value);
    else if (name === 'nixl_num_failed_transfers_total') failedTransfers += Number(value);
  }
  return { externalHits, hasNixl, failedTransfers };
}
