/**
 * The heads of a form, in the one spelling that every form parser reads alike. Parsers differ about the rest: which of
 * two names counts, whether `name*0=` is one, what a backslash hides.
 */

/** Parameters of a header value by name, or undefined where parsers may differ about them. */
export type Parameters = ReadonlyMap<string, string>;

/** The value of a `Content-Type` header: its boundary, and whether it is beyond doubt. */
export interface FormType {
  /** Undefined where this is no form. */
  readonly boundary: string | undefined;
  readonly plain: boolean;
}

export interface PartHead {
  /** Undefined where there is none that can be told. */
  readonly name: string | undefined;
  readonly plain: boolean;
}

/** Far more than any client writes; what is longer is not looked at. */
export const LONGEST_HEAD = 8 * 1024;
const LONGEST_BOUNDARY = 200;

export function formType(contentType: string): FormType {
  if (contentType.length > LONGEST_HEAD) return ODD_FORM;
  const rest = behind(contentType, 'multipart/form-data');
  // What no form parser takes for a form has no fields to any of them.
  if (rest === undefined) return { boundary: undefined, plain: !/form/i.test(contentType) };
  const parameters = parametersOf(rest);
  if (!parameters) return { boundary: anyBoundary(rest), plain: false };
  const boundary = parameters.get('boundary');
  const charset = parameters.get('charset')?.toLowerCase();
  const plain = charset === undefined || ASCII_LIKE.has(charset);
  return boundary === undefined || boundary.length > LONGEST_BOUNDARY ? ODD_FORM : { boundary, plain };
}

const ODD_FORM: FormType = { boundary: undefined, plain: false };
/** Names and values are read in the charset of the form. */
const ASCII_LIKE: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/** `head` without the empty line that ends it. */
export function partHead(head: string): PartHead {
  let disposition: string | undefined;
  let plain = true;
  for (const line of head.split('\r\n')) {
    if (line === '') continue;
    const field = FIELD.exec(line);
    const name = field?.[1]?.toLowerCase();
    if (name === 'content-disposition') {
      if (disposition !== undefined) plain = false;
      disposition = field?.[2];
    } else if (name === undefined || name === 'content-transfer-encoding') {
      plain = false;
    }
  }
  const rest = disposition === undefined ? undefined : behind(disposition, 'form-data');
  const parameters = rest === undefined ? undefined : parametersOf(rest);
  const name = parameters?.get('name');
  return { name, plain: plain && name !== undefined && !name.includes('\\') && name !== '_charset_' };
}

/** Control characters, a bare line break among them, are in no field. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;

/** What follows the type at the beginning of a header value, up to white space at the end. */
function behind(value: string, type: string): string | undefined {
  const text = value.trim();
  return text.slice(0, type.length).toLowerCase() === type ? text.slice(type.length) : undefined;
}

/** Each name once; of the extended ones only `filename*`, which browsers write and no name depends on. */
function parametersOf(text: string): Parameters | undefined {
  const found = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    PARAMETER.lastIndex = at;
    const match = PARAMETER.exec(text);
    const key = match?.[1]?.toLowerCase();
    if (!match || key === undefined || found.has(key)) return undefined;
    if (key.includes('*') && key !== 'filename*') return undefined;
    found.set(key, match[2] ?? match[3] ?? '');
    at = PARAMETER.lastIndex;
  }
  return found;
}

/** In quotes a backslash hides nothing: parsers differ about one before a quote or another one. */
const PARAMETER =
  /[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\(?!["\\]))*)"|([^\s";,\\]+))[ \t]*(?=;|$)/y;

function anyBoundary(text: string): string | undefined {
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(text);
  return match?.[1] ?? match?.[2];
}
