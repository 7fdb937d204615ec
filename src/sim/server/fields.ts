import { parseJson, readBoolean, readInteger } from '../../api/python-json.ts';
import { badRequest, type ApiError } from './api-error.ts';

/** A JSON object of unknown make: every field is checked where it is read. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function parseFields(body: Buffer): Fields {
  let value: unknown;
  try {
    value = parseJson(body.toString());
  } catch (error) {
    throw badRequest(`JSON decode error: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isFields(value)) throw badRequest('The body must be a JSON object.');
  return value;
}

function wrongType(name: string, expected: string, value: unknown): ApiError {
  return badRequest(`${name}: expected ${expected}, not ${JSON.stringify(value)}`, name);
}

export function stringField(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrongType(name, 'a string', value);
  return value;
}

export function booleanField(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (value === undefined || value === null) return false;
  const read = readBoolean(value);
  if (read === undefined) throw wrongType(name, 'true or false', value);
  return read;
}

/** A whole number, at least `least`. */
export function integerField(fields: Fields, name: string, least: number): number | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  const read = readInteger(value);
  if (read === undefined || !Number.isInteger(read) || read < least) {
    throw wrongType(name, `a whole number >= ${String(least)}`, value);
  }
  return read;
}

export function objectField(fields: Fields, name: string): Fields | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (!isFields(value)) throw wrongType(name, 'an object', value);
  return value;
}

export function arrayField(fields: Fields, name: string): readonly unknown[] | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw wrongType(name, 'a list', value);
  return value as readonly unknown[]; // Array.isArray makes any[] of it
}

/** A string or a list of strings, as a list. */
export function stringsField(fields: Fields, name: string): readonly string[] {
  const value = fields[name];
  if (value === undefined || value === null) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item !== 'string') throw wrongType(name, 'a string or a list of strings', value);
    return item;
  });
}

export function tokenIds(value: unknown, name: string): readonly number[] {
  if (!Array.isArray(value)) throw wrongType(name, 'a list of token ids', value);
  return value.map((id: unknown) => {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= 0x7fffffff) return id;
    throw badRequest(`${name}: ${JSON.stringify(id)} is not a token id`, name);
  });
}
