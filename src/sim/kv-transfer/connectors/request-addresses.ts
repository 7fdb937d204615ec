/** What connectors read out of a request id: where the two workers of a request are reached, as they registered themselves. */
export interface RequestAddresses {
  readonly prefill: string;
  readonly decode: string;
}

/** Undefined where the id names none, as of a request that is served whole. */
export function addressesIn(requestId: string): RequestAddresses | undefined {
  const [, prefill, decode] =
    /___prefill_addr_(.+?)___decode_addr_(.+)_[0-9a-f]{32}(?:-.*)?$/.exec(requestId) ?? [];
  return prefill === undefined || decode === undefined ? undefined : { prefill, decode };
}
