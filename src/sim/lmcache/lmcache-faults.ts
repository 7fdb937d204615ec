/** What goes wrong with a simulated controller, and what that means. */
export const LMCACHE_FAULTS = {
  hang: 'accept requests and never answer',
  error: 'answer with status 500',
  garbage: 'answer with something that is no JSON',
  lies: 'name instances that are nowhere, and lengths that no prompt has',
  slow: 'answer only after so many milliseconds: slow:300',
} as const;

export type LmcacheFaultKind = keyof typeof LMCACHE_FAULTS;

export interface LmcacheFault {
  readonly kind: LmcacheFaultKind;
  /** Of `slow`. */
  readonly delayMs: number;
}

/** Reads `KIND` or `slow:MS`; undefined where it is neither. */
export function parseLmcacheFault(text: string): LmcacheFault | undefined {
  const [, kind = '', delay] = /^([a-z]+)(?::(\d{1,7}))?$/.exec(text) ?? [];
  if (!isKind(kind) || (kind === 'slow') !== (delay !== undefined)) return undefined;
  return { kind, delayMs: Number(delay ?? 0) };
}

function isKind(text: string): text is LmcacheFaultKind {
  return Object.hasOwn(LMCACHE_FAULTS, text);
}
