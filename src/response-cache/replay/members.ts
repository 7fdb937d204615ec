import { isObject, type JsonObject } from '../../api/prompt-sink.ts';

/**
 * The object, if everything in it is known or says nothing: to vLLM, null, an empty list and an absent member are the same.
 * What is not known could not be told in the other form of the answer.
 */
export function only(value: unknown, known: readonly string[]): JsonObject | undefined {
  if (!isObject(value)) return undefined;
  for (const [key, member] of Object.entries(value))
    if (!known.includes(key) && !saysNothing(member)) return undefined;
  return value;
}

/** Without the members that say nothing. */
export function said(members: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, member]) => !saysNothing(member)));
}

export function listOf(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

/** Whether each of them is a text or says nothing: a list of parts, for instance, has no place in the other form. */
export function areTexts(members: JsonObject, names: readonly string[]): boolean {
  return names.every((name) => typeof members[name] === 'string' || saysNothing(members[name]));
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function saysNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}
