import { cleanField, cleanText, verdictOf, type LogFields, type Verdict } from './log-redaction.ts';

/** What is known of a field's name. */
interface Name {
  /** `,"name":` */
  readonly head: string;
  readonly verdict: Verdict;
}

/** Field names are mostly literals of this program; foreign ones (a dumped header map) must not pile up. */
const MAX_NAMES = 1024;
const names = new Map<string, Name>();

/**
 * The fields as the middle of a JSON line, each with a comma before it, without credentials and prompts. What is undefined or a function
 * is left out.
 * @throws what a getter or `toJSON` throws.
 */
export function fieldsText(fields: LogFields): string {
  let text = '';
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined || typeof value === 'function') continue;
    const { head, verdict } = names.get(key) ?? nameOf(key);
    if (typeof value === 'number') text += Number.isFinite(value) ? `${head}${value}` : `${head}null`;
    else if (typeof value === 'boolean') text += value ? `${head}true` : `${head}false`;
    else if (typeof value === 'string' && verdict === 'plain') text += head + stringText(value);
    else {
      const written = objectText(cleanField(key, value, 0));
      if (written !== undefined) text += head + written;
    }
  }
  return text;
}

const UNWRITABLE = '"[unable to serialize, circular reference is too complex to analyze]"';

/** Not every object lets itself be written: the others of the line are worth having. */
function objectText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return UNWRITABLE;
  }
}

const SPACE = 0x20;
const QUOTE = 0x22;
const AT = 0x40;
const BACKSLASH = 0x5c;
const LAST_VISIBLE = 0x7e;
/** Longer texts are not looked at character by character. */
const SHORT = 128;

/** A string as JSON, without credentials. One look at most strings tells that they need neither escapes nor cleaning. */
export function stringText(text: string): string {
  if (text.length > SHORT) return JSON.stringify(cleanText(text));
  let isOneWord = true;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === SPACE) isOneWord = false;
    else if (code < SPACE || code === QUOTE || code === AT || code === BACKSLASH || code > LAST_VISIBLE)
      return JSON.stringify(cleanText(text));
  }
  // Without an `@` no URL names a user; `Bearer` is followed by a blank.
  return isOneWord ? `"${text}"` : `"${cleanText(text)}"`;
}

function nameOf(key: string): Name {
  const name = { head: `,${JSON.stringify(key)}:`, verdict: verdictOf(key) };
  if (names.size >= MAX_NAMES) names.clear();
  names.set(key, name);
  return name;
}
