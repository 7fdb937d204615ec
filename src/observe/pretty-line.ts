/** Turns a JSON log line into the line for people: `2026-11-03 09:21:07.123 INFO  message key=value ...`, times in UTC. */
export function prettyLine(json: string, colours: boolean): string {
  let record: Record<string, unknown>;
  try {
    // Our own serialisation of an object: always one.
    record = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json;
  }
  const { time, level, msg, ...fields } = record;
  const word = typeof level === 'string' ? level : 'info';
  const paint = (code: string, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

  const stamp = typeof time === 'string' ? time.replace('T', ' ').replace('Z', '') : '';
  const head = `${stamp} ${word.toUpperCase().padEnd(5)} ${printable(msg)}`;
  let line = `${paint('2', stamp)} ${paint(COLOURS[word] ?? '0', word.toUpperCase().padEnd(5))} ${printable(msg)}`;
  let stacks = '';
  const shown = isAccessLine(fields) ? fitting(fields, COLUMNS - head.length) : Object.entries(fields);
  for (const [key, value] of shown) {
    const stack = stackOf(value);
    if (stack === undefined) line += ` ${paint('2', key + '=')}${plain(value)}`;
    else stacks += `\n    ${key}: ${stack.split('\n').map(printable).join('\n    ')}`;
  }
  return line + stacks + '\n';
}

/** Width of a terminal that an access line fits into. */
const COLUMNS = 120;

/** What an access line shows beside its message, by importance, and how it is called there; all is in the JSON line. */
const ACCESS_FIELDS = [
  ['total_ms', 'ms'],
  ['worker', 'to'],
  ['prefill_worker', 'prefill'],
  ['request_id', 'id'],
  ['attempts', 'attempts'],
  ['tenant', 'tenant'],
  ['reason', 'reason'],
  ['ttft_ms', 'ttft_ms'],
  ['prompt_tokens', 'prompt'],
  ['completion_tokens', 'answer'],
  ['model', 'model'],
  ['queue_ms', 'queue_ms'],
  ['hooks', 'hooks'],
] as const;

function isAccessLine(fields: Readonly<Record<string, unknown>>): boolean {
  return 'outcome' in fields && 'route' in fields && 'http_method' in fields;
}

/** What does not fit is left out, not cut. */
function fitting(fields: Readonly<Record<string, unknown>>, room: number): (readonly [string, unknown])[] {
  const shown: (readonly [string, unknown])[] = [];
  let left = room;
  for (const [field, name] of ACCESS_FIELDS) {
    const given = fields[field];
    if (given === undefined) continue;
    const value = field === 'worker' && typeof given === 'string' ? given.replace(/^http:\/\//, '') : given;
    const length = name.length + plain(value).length + 2;
    if (length > left) continue;
    left -= length;
    shown.push([name, value]);
  }
  return shown;
}

const COLOURS: Readonly<Record<string, string>> = {
  trace: '90',
  debug: '36',
  info: '32',
  warn: '33',
  error: '31',
};

/** Values that read well bare stay bare; all others are quoted, so that no value can look like another field or line. */
function plain(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@%+-]+$/.test(value)) return value;
  return escapeControls(JSON.stringify(value) ?? '');
}

function stackOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('stack' in value)) return undefined;
  if (typeof value.stack !== 'string') return undefined;
  const cause = 'cause' in value ? stackOf(value.cause) : undefined;
  return cause === undefined ? value.stack : `${value.stack}\ncaused by: ${cause}`;
}

function printable(text: unknown): string {
  return typeof text === 'string' ? escapeControls(text) : '';
}

/** A terminal obeys control characters: text that came from outside must not move the cursor or fake a line. */
function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}
