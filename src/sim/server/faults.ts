import { didYouMean, nearest } from '../../base/suggest.ts';
import { FAULT_KINDS, scopeOf, type FaultKind } from './fault-kinds.ts';

export interface Fault {
  readonly kind: FaultKind;
  /** Chance per request, 0 to 1. */
  readonly rate: number;
  /** Requests still to be hit; Infinity: no end. */
  times: number;
  /** Only requests whose path starts with this; undefined: inference routes. `*` matches everything. */
  readonly path: string | undefined;
  readonly ms: number;
  readonly forMs: number | undefined;
  readonly after: number | undefined;
  readonly at: 'head' | 'body';
  /** Whether half of the next event is sent before the cut. */
  readonly partial: boolean;
  readonly code: number;
  /** Seconds, for the `Retry-After` header. */
  readonly retryAfter: number | undefined;
  readonly bytes: number;
  readonly by: number;
  /** Whether a lost message is not kept either. */
  readonly forget: boolean;
}

export type ParsedFault =
  { readonly kind: 'fault'; readonly fault: Fault } | { readonly kind: 'error'; readonly message: string };

interface NumberRule {
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
}

const NUMBERS: ReadonlyMap<string, NumberRule> = new Map([
  ['rate', { least: 0, most: 1, whole: false }],
  ['times', { least: 1, most: 1e9, whole: true }],
  ['ms', { least: 0, most: 86_400_000, whole: false }],
  ['for_ms', { least: 0, most: 86_400_000, whole: false }],
  ['after', { least: 0, most: 1e9, whole: true }],
  ['code', { least: 200, most: 599, whole: true }],
  ['retry_after', { least: 0, most: 86_400, whole: true }],
  ['bytes', { least: 1, most: 1e9, whole: true }],
  ['by', { least: -1e9, most: 1e9, whole: true }],
]);
const EVERY_KIND = ['rate', 'times', 'path'] as const;
const EVERY_MESSAGE = ['rate', 'times'] as const;
/** Beyond what any reader takes. */
const BYTES: Readonly<Partial<Record<FaultKind, number>>> = {
  kv_huge: 32 * 1024 * 1024,
  pd_huge_params: 8 * 1024 * 1024,
};

/** Reads `kind:key=value,...`, or an object with `kind` and the same keys. */
export function parseFault(source: unknown): ParsedFault {
  const fields = typeof source === 'string' ? fieldsOfText(source) : fieldsOfObject(source);
  if (typeof fields === 'string') return { kind: 'error', message: fields };
  const kindName = fields.get('kind');
  const kind = typeof kindName === 'string' ? kindOf(kindName) : undefined;
  if (kind === undefined) {
    const kinds = Object.keys(FAULT_KINDS);
    const hint = didYouMean(nearest(String(kindName), kinds));
    return {
      kind: 'error',
      message: `unknown fault "${String(kindName)}", expected one of ${kinds.join(', ')}${hint}`,
    };
  }
  const shared = scopeOf(kind) === 'message' ? EVERY_MESSAGE : EVERY_KIND;
  const allowed: readonly string[] = [...FAULT_KINDS[kind].parameters, ...shared];
  const numbers = new Map<string, number>();
  for (const [key, value] of fields) {
    if (key === 'kind') continue;
    const problem = allowed.includes(key)
      ? readParameter(key, value, numbers)
      : `expected ${allowed.join(', ')}`;
    if (problem !== undefined) return { kind: 'error', message: `fault ${kind}: ${key}: ${problem}` };
  }
  const path = fields.get('path');
  return {
    kind: 'fault',
    fault: {
      kind,
      rate: numbers.get('rate') ?? 1,
      times: numbers.get('times') ?? Infinity,
      path: typeof path === 'string' ? path : undefined,
      ms: numbers.get('ms') ?? (kind === 'drip' ? 10 : 1000),
      forMs: numbers.get('for_ms'),
      after: numbers.get('after') ?? (kind === 'error_event' ? 1 : undefined),
      at: fields.get('at') === 'body' ? 'body' : 'head',
      partial: String(fields.get('partial')) === 'true',
      code: numbers.get('code') ?? 500,
      retryAfter: numbers.get('retry_after'),
      bytes: numbers.get('bytes') ?? BYTES[kind] ?? 1,
      by: numbers.get('by') ?? (kind === 'kv_wrong_rank' ? 1 : 10),
      forget: String(fields.get('forget')) === 'true',
    },
  };
}

/** What a worker may be without, so that some faults cannot happen to it. */
export interface FaultyParts {
  readonly publishesEvents: boolean;
  readonly handsKvOver: boolean;
}

/** Why a worker of these parts cannot have this fault; undefined: it can. */
export function missingPart({ kind }: Fault, parts: FaultyParts): string | undefined {
  if (kind.startsWith('kv_') && !parts.publishesEvents)
    return `fault ${kind}: this worker publishes no cache events`;
  if (kind.startsWith('pd_') && !parts.handsKvOver)
    return `fault ${kind}: this worker hands over no KV cache (--role)`;
  return undefined;
}

/** `x-sim-fault: kind:key=value,...; ...`. Throws a RangeError that says what is wrong. */
export function parseFaultHeader(text: string): Fault[] {
  return text.split(';').map((part) => {
    const fault = required(parseFault(part.trim()));
    if (scopeOf(fault.kind) === 'request') return fault;
    throw new RangeError(`fault ${fault.kind} is not one of a single request`);
  });
}

/** Throws a RangeError that says what is wrong. */
export function required(parsed: ParsedFault): Fault {
  if (parsed.kind === 'error') throw new RangeError(parsed.message);
  return parsed.fault;
}

function kindOf(name: string): FaultKind | undefined {
  // The cast is safe: hasOwn has just said that the name is a key.
  return Object.hasOwn(FAULT_KINDS, name) ? (name as FaultKind) : undefined;
}

/** Returns what is wrong, if anything. */
function readParameter(key: string, value: unknown, numbers: Map<string, number>): string | undefined {
  const rule = NUMBERS.get(key);
  if (rule) {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    const fits = typeof number === 'number' && number >= rule.least && number <= rule.most;
    if (!fits || (rule.whole && !Number.isInteger(number))) {
      return `expected a ${rule.whole ? 'whole ' : ''}number from ${String(rule.least)} to ${String(rule.most)}, not "${String(value)}"`;
    }
    numbers.set(key, number);
    return undefined;
  }
  if (key === 'at' && value !== 'head' && value !== 'body')
    return `expected head or body, not "${String(value)}"`;
  if ((key === 'partial' || key === 'forget') && !/^(true|false)$/.test(String(value)))
    return `expected true or false, not "${String(value)}"`;
  if (key === 'path' && typeof value !== 'string') return 'expected a path';
  return undefined;
}

function fieldsOfText(text: string): Map<string, unknown> | string {
  const colon = text.indexOf(':');
  const fields = new Map<string, unknown>([['kind', colon < 0 ? text : text.slice(0, colon)]]);
  if (colon < 0) return fields;
  for (const part of text.slice(colon + 1).split(',')) {
    const equals = part.indexOf('=');
    if (equals < 1) return `fault "${text}": expected key=value, not "${part}"`;
    fields.set(part.slice(0, equals), part.slice(equals + 1));
  }
  return fields;
}

function fieldsOfObject(source: unknown): Map<string, unknown> | string {
  if (typeof source !== 'object' || source === null)
    return 'a fault is a text like "status:code=503" or an object';
  return new Map(Object.entries(source).filter(([, value]) => value !== undefined && value !== null));
}

/** A fault as the control route shows it: only what differs from "not set". */
export function faultJson(fault: Fault): Record<string, unknown> {
  const shown: Record<string, unknown> = { kind: fault.kind };
  const values: Readonly<Record<string, unknown>> = {
    ms: fault.ms,
    for_ms: fault.forMs,
    after: fault.after,
    at: fault.at,
    partial: fault.partial,
    code: fault.code,
    retry_after: fault.retryAfter,
    bytes: fault.bytes,
    by: fault.by,
    forget: fault.forget,
  };
  for (const key of FAULT_KINDS[fault.kind].parameters)
    if (values[key] !== undefined) shown[key] = values[key];
  shown['rate'] = fault.rate;
  if (fault.times !== Infinity) shown['times'] = fault.times;
  if (fault.path !== undefined) shown['path'] = fault.path;
  return shown;
}

/** What will go wrong with one request; several faults can meet. */
export interface FaultPlan {
  readonly delay?: Fault;
  readonly bodyDelay?: Fault;
  readonly status?: Fault;
  readonly garbage?: Fault;
  /** hang, close, reset or error_event. */
  readonly cut?: Fault;
  readonly drip?: Fault;
  readonly length?: Fault;
  readonly noFraming?: Fault;
  readonly errorBody?: Fault;
  readonly noParams?: Fault;
  readonly hugeParams?: Fault;
  readonly rejectParams?: Fault;
  readonly loadFailure?: Fault;
  readonly slowTransfer?: Fault;
  readonly die?: Fault;
}

export const NO_FAULTS: FaultPlan = {};

export function planOf(faults: readonly Fault[]): FaultPlan {
  if (faults.length === 0) return NO_FAULTS;
  const plan: { -readonly [Key in keyof FaultPlan]: FaultPlan[Key] } = {};
  for (const fault of faults) plan[placeOf(fault)] ??= fault;
  return plan;
}

const PLACES: Readonly<Partial<Record<FaultKind, keyof FaultPlan>>> = {
  no_framing: 'noFraming',
  error_body: 'errorBody',
  pd_no_params: 'noParams',
  pd_huge_params: 'hugeParams',
  pd_reject: 'rejectParams',
  pd_load_failure: 'loadFailure',
  pd_slow_transfer: 'slowTransfer',
  pd_die: 'die',
};

function placeOf(fault: Fault): keyof FaultPlan {
  switch (fault.kind) {
    case 'delay':
      return fault.at === 'body' ? 'bodyDelay' : 'delay';
    case 'status':
    case 'garbage':
    case 'drip':
    case 'length':
      return fault.kind;
    default:
      return PLACES[fault.kind] ?? 'cut';
  }
}
