import { formType, LONGEST_HEAD, partHead } from './form-head.ts';
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

export interface Form {
  /** All parts that have a name, in order, files included. */
  readonly fields: readonly FieldValue[];
  /** Whether every form parser reads these very fields: where one could differ, nothing may go by them. */
  readonly plain: boolean;
  /** Where the first part begins; undefined where there is none. */
  readonly opening: { readonly at: number; readonly delimiter: Buffer } | undefined;
}

const NO_FIELDS: Form = { fields: [], plain: false, opening: undefined };
const CRLF = Buffer.from('\r\n');
const CRLF_CRLF = Buffer.from('\r\n\r\n');
const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;
/** Far more than any API has. */
const MOST_PARTS = 4096;

/** The value of a field, or undefined where there is none. */
export function fieldText(body: Buffer, { fields }: Form, name: string): string | undefined {
  const value = fields.findLast((field) => field.name === name);
  return value && body.toString('utf8', value.start, value.end);
}

/** Whether `model` or `stream` stands there twice: form parsers do not agree on which of two counts. */
export function repeatsDecidingFormField({ fields }: Form): boolean {
  return ['model', 'stream'].some((name) => fields.filter((field) => field.name === name).length > 1);
}

/**
 * The form with `value` in every field of that name, or in a new one in front of the others; undefined where this is no
 * form.
 */
export function setFormField(
  body: Buffer,
  contentType: string,
  name: string,
  value: string,
): Buffer | undefined {
  const { fields, opening } = readForm(body, contentType);
  const by = Buffer.from(value);
  const named = fields.filter((field) => field.name === name);
  if (named.length > 0)
    return splice(
      body,
      named.map(({ start, end }) => ({ start, end, by })),
    );
  if (!opening) return undefined;
  const { at, delimiter } = opening;
  const head = `\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`;
  const part = Buffer.concat([delimiter, Buffer.from(head), by, CRLF]);
  return splice(body, [{ start: at, end: at, by: part }]);
}

export function readForm(body: Buffer, contentType: string): Form {
  const { boundary, plain } = formType(contentType);
  if (boundary === undefined) return { ...NO_FIELDS, plain };
  const lines = new Delimiters(body, Buffer.from(`--${boundary}`, 'latin1'));
  const first = lines.next(0);
  if (!first) return NO_FIELDS;
  const fields: FieldValue[] = [];
  // What stands before the first part is text to some parsers, and a mistake to others.
  let beyondDoubt = plain && isLineBreaks(body, first.at);
  let line = first;
  while (!line.closes) {
    const next = lines.next(line.end);
    // A part without end, and whatever comes after it, is none.
    if (!next) break;
    const field = readPart(body, line.end, next.at);
    if (field.name !== undefined) fields.push({ name: field.name, start: field.start, end: field.end });
    if (!field.plain) beyondDoubt = false;
    line = next;
  }
  return {
    fields,
    plain: beyondDoubt && line.closes && !lines.doubtful && isLineBreaks(body.subarray(line.end)),
    opening: { at: first.at, delimiter: lines.delimiter },
  };
}

/** The part between two delimiters; the line break before the second one belongs to that. */
function readPart(
  body: Buffer,
  from: number,
  to: number,
): (FieldValue & { readonly plain: boolean }) | { readonly name: undefined; readonly plain: false } {
  const headEnd = body.subarray(from, Math.min(to, from + LONGEST_HEAD)).indexOf(CRLF_CRLF);
  const start = from + headEnd + CRLF_CRLF.length;
  const end = to - CRLF.length;
  if (headEnd < 0 || start > end) return { name: undefined, plain: false };
  const { name, plain } = partHead(body.toString('latin1', from, from + headEnd));
  return name === undefined ? { name, plain: false } : { name, start, end, plain };
}

interface DelimiterLine {
  readonly at: number;
  /** Behind the delimiter itself, in front of its line break. */
  readonly end: number;
  /** The one behind the last part. */
  readonly closes: boolean;
}

/** Finds delimiters: at the beginning of a line, and not merely the beginning of a longer word. */
class Delimiters {
  readonly delimiter: Buffer;
  /** There was one that some parsers take for a delimiter and others do not, or there were too many of them. */
  doubtful = false;
  readonly #body: Buffer;
  readonly #inner: Buffer;
  #seen = 0;

  constructor(body: Buffer, delimiter: Buffer) {
    this.delimiter = delimiter;
    this.#body = body;
    this.#inner = Buffer.concat([CRLF, delimiter]);
  }

  next(from: number): DelimiterLine | undefined {
    const body = this.#body;
    const { length } = this.delimiter;
    for (let at = this.#find(from); at >= 0; at = this.#find(at + length)) {
      this.#seen += 1;
      if (this.#seen > MOST_PARTS) break;
      const [one, two] = [body[at + length], body[at + length + 1]];
      if (one === CR && two === LF) return { at, end: at + length, closes: false };
      if (one === DASH && two === DASH) return { at, end: at + length + 2, closes: true };
      this.doubtful = true;
    }
    if (this.#seen > MOST_PARTS) this.doubtful = true;
    return undefined;
  }

  #find(from: number): number {
    const { length } = this.delimiter;
    if (from === 0 && this.#body.subarray(0, length).equals(this.delimiter)) return 0;
    // The line break may be the one that ends the line before.
    const found = this.#body.indexOf(this.#inner, from);
    return found < 0 ? -1 : found + CRLF.length;
  }
}

function isLineBreaks(body: Buffer, end = body.length): boolean {
  for (let at = 0; at < end; at += 1) if (body[at] !== CR && body[at] !== LF) return false;
  return true;
}
