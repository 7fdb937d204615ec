import { splice } from './json-edit.ts';

/**
 * Plain fields of a `multipart/form-data` body (RFC 7578). Only the heads of parts are looked at: files are stepped
 * over, not read. Where two parts have one name the last one counts, as in the form parser of vLLM's web framework.
 */

/** Byte range of a field's value. */
export interface FieldValue {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

const CRLF = Buffer.from('\r\n');
const CRLF_CRLF = Buffer.from('\r\n\r\n');
/** Far more than any API has. */
const MOST_PARTS = 4096;

/** The value of a field, or undefined where there is none. */
export function formField(body: Buffer, contentType: string, name: string): string | undefined {
  return fieldText(body, formFields(body, contentType), name);
}

/** The same where the fields have been found already. */
export function fieldText(body: Buffer, fields: readonly FieldValue[], name: string): string | undefined {
  const value = fields.findLast((field) => field.name === name);
  return value && body.toString('utf8', value.start, value.end);
}

/** The form with `value` in every field of that name; undefined where there is none. */
export function replaceFormField(
  body: Buffer,
  contentType: string,
  name: string,
  value: string,
): Buffer | undefined {
  const fields = formFields(body, contentType).filter((field) => field.name === name);
  if (fields.length === 0) return undefined;
  const by = Buffer.from(value);
  return splice(
    body,
    fields.map(({ start, end }) => ({ start, end, by })),
  );
}

/** Whether `model` or `stream` stands there twice: form parsers do not agree on which of two counts. */
export function repeatsDecidingFormField(fields: readonly FieldValue[]): boolean {
  return ['model', 'stream'].some((name) => fields.filter((field) => field.name === name).length > 1);
}

/** All parts in order, files included: they have names, too. */
export function formFields(body: Buffer, contentType: string): FieldValue[] {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return [];
  const delimiter = Buffer.from(`--${boundary}`);
  const fields: FieldValue[] = [];
  let at = nextDelimiter(body, delimiter, 0);
  for (let parts = 0; at >= 0 && parts < MOST_PARTS; parts += 1) {
    const headStart = at + delimiter.length;
    const next = nextDelimiter(body, delimiter, headStart);
    const headEnd = body.indexOf(CRLF_CRLF, headStart);
    // A part without end, and whatever comes after it, is none.
    if (next < 0 || headEnd < 0) return fields;
    // The line break before the delimiter belongs to it.
    const [start, end] = [headEnd + CRLF_CRLF.length, next - CRLF.length];
    const name = start <= end ? nameOf(body.toString('latin1', headStart, headEnd)) : undefined;
    if (name !== undefined) fields.push({ name, start, end });
    at = next;
  }
  return fields;
}

/** Index of the next delimiter: at the beginning of a line, and not merely the beginning of a longer word. */
function nextDelimiter(body: Buffer, delimiter: Buffer, from: number): number {
  for (let at = body.indexOf(delimiter, from); at >= 0; at = body.indexOf(delimiter, at + 1)) {
    const opens = at === 0 || (body[at - 2] === 0x0d && body[at - 1] === 0x0a);
    const behind = body.toString('latin1', at + delimiter.length, at + delimiter.length + 2);
    if (opens && (behind === '\r\n' || behind === '--')) return at;
  }
  return -1;
}

function boundaryOf(contentType: string): string | undefined {
  if (!/^multipart\/form-data\b/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

function nameOf(head: string): string | undefined {
  const disposition = /(?:^|\r\n)content-disposition:([^\r\n]*)/i.exec(head)?.[1] ?? '';
  for (const [, key = '', value = ''] of disposition.matchAll(
    /;\s*([^=;\s]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)/g,
  )) {
    if (key.toLowerCase() === 'name') return unquoted(value.trim());
    if (key.toLowerCase() === 'name*') return extendedValue(value.trim());
  }
  return undefined;
}

/** RFC 8187, which Python's parser reads although RFC 7578 forbids it in forms: `utf-8''model`. */
function extendedValue(value: string): string {
  const text = value.slice(value.lastIndexOf("'") + 1);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unquoted(value: string): string {
  return /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(["\\])/g, '$1') ?? value;
}
