import type { PdSettings } from './pd-settings.ts';

export function pdSettings(): PdSettings {
  return {
    connector: 'auto',
    split: { kind: 'auto' },
    fallback: 'whole',
    clientParams: 'refuse',
    prefillTimeoutMs: 0,
    decodeTimeoutMs: 0,
    maxPrefillsPerWorker: 0,
    maxTransfersPerPair: 0,
    prefillPolicy: undefined,
    decodePolicy: undefined,
    policyNamed: false,
    profile: false,
    profileTimeoutMs: 10_000,
    discovery: undefined,
    notices: { address: undefined, timeoutMs: 5000 },
  };
}
