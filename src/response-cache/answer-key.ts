import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

/** Rises with what is in it: answers that were stored under other rules are not found. */
const VERSION = 1;
/** Of all keys here; what is stored otherwise has another. */
const KIND = 'exact:';

/** Whose answers; those of all models and tenants where nothing is said. */
export interface AnswersOf {
  readonly model: string | undefined;
  readonly tenant: string | undefined;
}

/** The scope of a tenant's answers. */
export function tenantScope(name: string): string {
  return `tenant:${name}`;
}

/** As it stands in a key. What is no well-formed text, which JSON can say, is told apart by the digest alone. */
export function keyPart(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** What their keys begin with, and what else is in each of them. */
export function keysOf({ model, tenant }: AnswersOf): { readonly prefix: string; readonly part: string } {
  const prefix = tenant === undefined ? KIND : `${KIND}${keyPart(tenantScope(tenant))}:`;
  return { prefix, part: model === undefined ? '' : `:${keyPart(model)}:` };
}

/** Whatever the answer, or who may have it, depends on. */
export interface AnswerQuestion {
  /** The path that the worker is asked, its query included. */
  readonly target: string;
  /** After all rules. An adapter has a name of its own. */
  readonly model: string;
  /** Whose answers these are; '' = everybody's. */
  readonly scope: string;
  readonly body: Buffer;
}

/**
 * Members of the body that make no difference to what is answered: who asks, how it is told, and when. The model counts as it
 * was resolved.
 */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  ...['model', 'user', 'request_id', 'safety_identifier', 'prompt_cache_key', 'metadata', 'priority'],
  ...['stream', 'stream_options', 'service_tier'],
]);

/** `exact:<scope>:<model>:<SHA-256>`; undefined where the body has no one meaning. */
export function answerKey({ target, model, scope, body }: AnswerQuestion): string | undefined {
  const canonical = canonicalJson(body, WITHOUT_EFFECT);
  if (!canonical) return undefined;
  const digest = createHash('sha256')
    .update(JSON.stringify([VERSION, target, model, scope]))
    .update(canonical)
    .digest('hex');
  return `${KIND}${keyPart(scope)}:${keyPart(model)}:${digest}`;
}

/**
 * `<scope>:<model>:<SHA-256>` of all but one member of the body, and of what stands in its place; undefined where the body has no one
 * meaning.
 */
export function partitionOf(
  { target, model, scope, body }: AnswerQuestion,
  member: string,
  inItsPlace: Buffer,
): string | undefined {
  const canonical = canonicalJson(body, new Set([...WITHOUT_EFFECT, member]));
  const whole = canonicalJson(body, WITHOUT_EFFECT);
  const rest = canonicalJson(inItsPlace, new Set());
  if (!canonical || !whole || !rest) return undefined;
  const digest = createHash('sha256')
    .update(JSON.stringify([VERSION, target, model, scope, member, canonical.length]))
    .update(canonical)
    .update(rest)
    // What stands in its place has been read, and numbers that are spelt otherwise may have become the same.
    .update(numbersIn(whole))
    .digest('hex');
  return `${keyPart(scope)}:${keyPart(model)}:${digest}`;
}

/** All numbers of canonical JSON, as they are spelt there. */
function numbersIn(canonical: Buffer): string {
  const unquoted = canonical.toString('latin1').replaceAll(/"[^"\\]*(?:\\.[^"\\]*)*"/g, '');
  return (unquoted.match(/[^[\]{}:,]*\d[^[\]{}:,]*|-?Infinity|NaN/g) ?? []).join(',');
}
