import type { Random } from '../../base/random.ts';
import { didYouMean, nearest } from '../../base/suggest.ts';

/**
 * The ways a simulated worker can misbehave. `after` counts events of a stream; for an answer in one piece, 0 means
 * after the head and anything else in the middle of the body. Where `after` is missing, it happens before the head.
 */
export const FAULT_KINDS = {
  refuse: {
    parameters: ['for_ms'],
    meaning: 'stop listening and cut every connection; come back after for_ms',
  },
  hung_engine: {
    parameters: ['for_ms'],
    meaning:
      'the engine stops, and the server beside it goes on: health is good, answers do not come, metrics stand still; it goes on after for_ms',
  },
  delay: {
    parameters: ['ms', 'at'],
    meaning: 'wait ms before the head, or with at=body between head and body',
  },
  hang: { parameters: ['after'], meaning: 'say nothing more and keep the connection open' },
  close: {
    parameters: ['after', 'partial'],
    meaning: 'close the connection (FIN) without finishing the answer',
  },
  reset: { parameters: ['after', 'partial'], meaning: 'reset the connection (RST)' },
  status: {
    parameters: ['code', 'retry_after'],
    meaning: 'answer with an error status, code=500 by default',
  },
  error_event: { parameters: ['after'], meaning: 'an error event in the stream, then [DONE], as vLLM does' },
  drip: { parameters: ['bytes', 'ms'], meaning: 'send the body a few bytes at a time, every ms' },
  length: { parameters: ['by'], meaning: 'a content-length that is wrong by that many bytes' },
  garbage: {
    parameters: ['at'],
    meaning: 'bytes that are not HTTP, or with at=body a body that is not JSON',
  },
  no_framing: { parameters: [], meaning: 'a body without length or chunking that ends with the connection' },
  kv_stop: {
    parameters: ['for_ms'],
    meaning:
      'the ports of cache events are closed; they come back after for_ms and answer for what was missed',
  },
  kv_restart: {
    parameters: [],
    meaning: 'once: the engines begin anew with empty caches, and their cache events from 0',
  },
  kv_lose: {
    parameters: ['forget'],
    meaning: 'a message of cache events is lost; with forget=true it cannot be asked for again either',
  },
  kv_garbage: { parameters: [], meaning: 'a message of cache events that is not msgpack' },
  kv_huge: {
    parameters: ['bytes'],
    meaning: 'a message of cache events of that many bytes, 32 MiB by default',
  },
  kv_wrong_rank: { parameters: ['by'], meaning: 'a message of cache events with a rank that is off, by=1' },
  kv_delay: { parameters: ['ms'], meaning: 'a message of cache events comes ms late' },
  kv_late_replay: { parameters: ['ms'], meaning: 'old cache events come only ms after they were asked for' },
} as const;

export type FaultKind = keyof typeof FAULT_KINDS;

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

/** What a fault concerns: requests one by one, the worker as a whole, or messages of cache events. */
type Scope = 'request' | 'worker' | 'message';

function scopeOf(kind: FaultKind): Scope {
  if (kind === 'refuse' || kind === 'hung_engine' || kind === 'kv_stop' || kind === 'kv_restart')
    return 'worker';
  return kind.startsWith('kv_') ? 'message' : 'request';
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
const HUGE_BYTES = 32 * 1024 * 1024;

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
      bytes: numbers.get('bytes') ?? (kind === 'kv_huge' ? HUGE_BYTES : 1),
      by: numbers.get('by') ?? (kind === 'kv_wrong_rank' ? 1 : 10),
      forget: String(fields.get('forget')) === 'true',
    },
  };
}

/** Why a worker that publishes no cache events cannot have this fault; undefined: it can. */
export function needsEvents({ kind }: Fault): string | undefined {
  return kind.startsWith('kv_') ? `fault ${kind}: this worker publishes no cache events` : undefined;
}

/** `x-sim-fault: kind:key=value,...; ...`. Throws a RangeError that says what is wrong. */
export function parseFaultHeader(text: string): Fault[] {
  return text.split(';').map((part) => {
    const fault = required(parseFault(part.trim()));
    if (scopeOf(fault.kind) === 'request') return fault;
    throw new RangeError(`fault ${fault.kind} is not one of a single request`);
  });
}

function required(parsed: ParsedFault): Fault {
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
}

export const NO_FAULTS: FaultPlan = {};

export function planOf(faults: readonly Fault[]): FaultPlan {
  if (faults.length === 0) return NO_FAULTS;
  const plan: { -readonly [Key in keyof FaultPlan]: FaultPlan[Key] } = {};
  for (const fault of faults) plan[placeOf(fault)] ??= fault;
  return plan;
}

function placeOf(fault: Fault): keyof FaultPlan {
  switch (fault.kind) {
    case 'delay':
      return fault.at === 'body' ? 'bodyDelay' : 'delay';
    case 'status':
    case 'garbage':
    case 'drip':
    case 'length':
      return fault.kind;
    case 'no_framing':
      return 'noFraming';
    default:
      return 'cut';
  }
}

/** What will go wrong with one message of cache events, or with one request for old ones. */
export interface MessageFaults {
  readonly lose?: Fault;
  readonly garbage?: Fault;
  readonly huge?: Fault;
  readonly wrongRank?: Fault;
  readonly delay?: Fault;
  readonly lateReplay?: Fault;
}

const MESSAGE_PLACES: Readonly<Partial<Record<FaultKind, keyof MessageFaults>>> = {
  kv_lose: 'lose',
  kv_garbage: 'garbage',
  kv_huge: 'huge',
  kv_wrong_rank: 'wrongRank',
  kv_delay: 'delay',
};

/** The faults of one worker, and the draw for each request. */
export class FaultSet {
  #faults: readonly Fault[] = [];
  readonly #random: Random;
  readonly #onChange: () => void;
  readonly #publishes: boolean;

  /** `publishes`: whether the worker has cache events that can go wrong. */
  constructor(random: Random, onChange: () => void, publishes = false) {
    this.#random = random;
    this.#onChange = onChange;
    this.#publishes = publishes;
  }

  get list(): readonly Fault[] {
    return this.#faults;
  }

  /** Replaces all faults. Throws a RangeError that says what is wrong with which one. */
  set(sources: readonly unknown[]): void {
    const faults = sources.map((source) => required(parseFault(source)));
    const problem = this.#publishes ? undefined : faults.map(needsEvents).find((text) => text !== undefined);
    if (problem !== undefined) throw new RangeError(problem);
    this.#faults = faults;
    this.#onChange();
  }

  clear(): void {
    this.set([]);
  }

  /** The fault of a kind that concerns the worker as a whole. */
  whole(kind: 'refuse' | 'hung_engine' | 'kv_stop' | 'kv_restart'): Fault | undefined {
    return this.#faults.find((fault) => fault.kind === kind);
  }

  plan(path: string, inference: boolean): FaultPlan {
    if (this.#faults.length === 0) return NO_FAULTS;
    const hit = this.#faults.filter((fault) => {
      if (scopeOf(fault.kind) !== 'request') return false;
      const applies =
        fault.path === undefined ? inference : fault.path === '*' || path.startsWith(fault.path);
      return applies && this.#hits(fault);
    });
    return planOf(hit);
  }

  /** What happens to the next message of cache events. */
  ofMessage(): MessageFaults {
    const plan: { -readonly [Key in keyof MessageFaults]: MessageFaults[Key] } = {};
    for (const fault of this.#faults) {
      const place = MESSAGE_PLACES[fault.kind];
      if (place !== undefined && this.#hits(fault)) plan[place] ??= fault;
    }
    return plan;
  }

  /** What happens to the next request for old ones. */
  ofReplay(): MessageFaults {
    const late = this.#faults.find((fault) => fault.kind === 'kv_late_replay' && this.#hits(fault));
    return late ? { lateReplay: late } : {};
  }

  #hits(fault: Fault): boolean {
    if (fault.times <= 0 || (fault.rate < 1 && this.#random() >= fault.rate)) return false;
    fault.times--;
    return true;
  }
}
