import { createHash } from 'node:crypto';
import type { JsonObject } from '../../api/prompt-sink.ts';
import { isObject, plain } from '../../api/prompt-sink.ts';
import { readBoolean, readInteger } from '../../api/python-json.ts';
import { headerOf, joinedHeader, type FlatHeaders } from '../../http/headers.ts';
import { answerKey, tenantScope } from '../../response-cache/answer-key.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Caller } from '../arrive/caller.ts';
import { goesOut } from '../choose/external.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';

/** Why neither a stored answer is looked for nor one kept: the words of the record. */
export type Bypass = 'client' | 'sampled' | 'unreadable' | 'too_long' | 'not_repeatable';

export type CacheTerms =
  | { readonly kind: 'bypass'; readonly why: Bypass }
  | {
      readonly kind: 'open';
      readonly key: string;
      /** What is asked: the path, and what of the headers counts. */
      readonly target: string;
      /** Whose answers the caller may have. */
      readonly scope: string;
      /** Whether a stored answer is good enough, and how old it may be, ms. */
      readonly reads: boolean;
      readonly maxAgeMs: number;
    };

/** By which workers may tell one client from another. */
const CREDENTIALS = ['authorization', 'x-api-key', 'api-key', 'cookie'] as const;
/** Longer ones are rare, and would hold up everybody while their key is made. */
const LONGEST_BODY_BYTES = 1024 * 1024;
/** The client's own word: `off`. */
const HEADER_CACHE = 'x-vllm-router-cache';

/** What the cache may do for a request. Asked only where there is one, on routes whose answers it keeps. */
export function cacheTerms(rt: Runtime, arrival: Arrival, caller: Caller, call: Call): CacheTerms {
  const asked = askedOf(arrival.req.rawHeaders);
  if (asked === 'off') return bypass('client');
  const { body } = call;
  const { values, isWhole } = call.ask.said();
  if (!Buffer.isBuffer(body)) return bypass('unreadable');
  if (!isWhole || body.length > LONGEST_BODY_BYTES) return bypass('too_long');
  if (!isRepeatable(values)) return bypass('not_repeatable');
  const generates = arrival.endpoint.tokens === 'prompt_and_answer';
  if (generates && rt.settings.answerCache?.sampled !== true && isSampled(values)) return bypass('sampled');
  const target = targetOf(rt, arrival, call);
  const scope = scopeOf(rt, arrival, caller);
  const key = answerKey({ target, model: arrival.decision.model ?? '', scope, body });
  return key === undefined ? bypass('unreadable') : { kind: 'open', key, target, scope, ...asked };
}

function bypass(why: Bypass): CacheTerms {
  return { kind: 'bypass', why };
}

/** What a provider says is not what the fleet says, and providers are sent headers by which they may answer otherwise. */
function targetOf({ registry }: Runtime, { req, target }: Arrival, call: Call): string {
  if (!goesOut(call)) return target;
  const names = new Set(registry.externals.flatMap(({ traits }) => traits.external?.forwardHeaders ?? []));
  const sent = ['openai-beta', ...names].toSorted().map((name) => [name, joinedHeader(req.rawHeaders, name)]);
  return JSON.stringify([target, 'external', sent]);
}

/** RFC 9111 5.2.1, as far as it asks for less than there may be. */
function askedOf(headers: FlatHeaders): 'off' | { readonly reads: boolean; readonly maxAgeMs: number } {
  if (headerOf(headers, HEADER_CACHE)?.trim().toLowerCase() === 'off') return 'off';
  const control = joinedHeader(headers, 'cache-control')?.toLowerCase();
  if (control === undefined) return { reads: true, maxAgeMs: Infinity };
  if (/\bno-store\b/.test(control)) return 'off';
  const maxAge = /\bmax-age\s*=\s*"?(\d{1,10})/.exec(control)?.[1];
  return {
    reads: !/\bno-cache\b/.test(control),
    maxAgeMs: maxAge === undefined ? Infinity : Number(maxAge) * 1000,
  };
}

/** Greedy, or from a seed: asked again it would be answered alike. What a worker does by itself is not known here. */
function isSampled(values: JsonObject): boolean {
  // To vLLM -1 is no seed.
  const { seed = -1, temperature } = values;
  return plain(temperature) !== 0 && (readInteger(seed) ?? -1) === -1;
}

/** Not what leaves something behind, belongs to one moment, or is told in a form that is not kept. */
function isRepeatable(values: JsonObject): boolean {
  const { stream_options: options } = values;
  if (isObject(options) && readBoolean(options['continuous_usage_stats']) === true) return false;
  if (readBoolean(values['store']) === true || readBoolean(values['background']) === true) return false;
  return (values['kv_transfer_params'] ?? null) === null && (values['ec_transfer_params'] ?? null) === null;
}

/**
 * Whose answers a caller may have. Where the router checks no keys of its own, workers may: then what one client is answered is
 * for those who show the same credentials.
 */
function scopeOf(rt: Runtime, { req, tenant }: Arrival, { keyChecked }: Caller): string {
  if (rt.settings.answerCache?.sharedBetweenTenants === true && keyChecked) return '';
  if (tenant) return tenantScope(tenant.access.name);
  const credentials = CREDENTIALS.map((name) => joinedHeader(req.rawHeaders, name));
  if (credentials.every((one) => one === undefined)) return '';
  return `key:${createHash('sha256').update(JSON.stringify(credentials)).digest('hex').slice(0, 32)}`;
}
