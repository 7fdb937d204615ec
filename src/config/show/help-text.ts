import { GROUPS, type Group } from '../schema/field.ts';
import { META_FLAGS } from '../load/flags.ts';
import { CONFIG_KEYS, type ConfigKey } from '../schema/keys.ts';
import { SUB_COMMANDS } from './sub-commands.ts';

/** How a key's flag is written, aliases last: `--port N`, `--worker-urls URL...`, `--no-access-log`. */
export function flagUsage(key: ConfigKey): string {
  const switches = Object.keys(key.switches);
  if (switches.length > 0) return switches.join(', ');
  // Of a switch that is on by default, the spelling that does something.
  const flags = key.kind === 'boolean' && key.default === true ? key.flags.map(negated) : key.flags;
  const value = key.kind === 'boolean' ? '' : ` ${key.value}${key.kind === 'list' ? '...' : ''}`;
  return `${flags.join(', ')}${value}`;
}

const negated = (flag: string): string => flag.replace('--', '--no-');

/** Description with the choices, the policies and the default that belong to it. */
export function flagMeaning(key: ConfigKey): string {
  // Beside `--no-x` stands what x does: say that this is the way to do without it.
  const negative = key.kind === 'boolean' && key.default === true;
  const parts = [negative ? `Do without: ${key.about}` : key.about];
  if (key.name === 'policy.type') parts.push(`One of ${key.choices.join(', ')}.`);
  if (key.policies) parts.push(`(${key.policies.join(', ')})`);
  const switched = key.default === true ? 'on' : 'off';
  parts.push(`[${key.kind === 'boolean' ? switched : key.defaultText}]`);
  return parts.join(' ');
}

export interface HelpStyle {
  /** Width of the terminal. */
  readonly columns: number;
  /** How headings are marked; not at all by default. */
  readonly paint?: (heading: string) => string;
}

const plain = (heading: string): string => heading;

function widthOf(columns: number): number {
  return Math.max(60, Math.min(columns, 120));
}

/** The whole help text. */
export function helpText({ columns, paint = plain }: HelpStyle): string {
  const width = widthOf(columns);
  const lines = [
    'vllm-router: a request router for fleets of vLLM servers.',
    '',
    'Usage: vllm-router --worker-urls http://worker1:8000 http://worker2:8000 [flags]',
    ...SUB_COMMANDS.map(({ usage, about }) => `       ${`vllm-router ${usage}`.padEnd(34)} ${about}`),
    '',
    'Flags go before VLLM_ROUTER_* variables, these before the file, and it before the defaults [in brackets].',
    ...wrap(`vllm-router help TOPIC shows one part: ${helpTopics().join(', ')}.`, width),
    '',
    paint('General'),
    ...META_FLAGS.flatMap(({ flags, value, about }) =>
      entry(`${flags.join(', ')}${value === undefined ? '' : ` ${value}`}`, about, width),
    ),
  ];
  for (const group of GROUPS) {
    const flags = flagsOf(group, width);
    if (flags.length > 0) lines.push('', paint(group), ...flags);
  }
  return `${lines.join('\n')}\n`;
}

/** What `vllm-router help` can be asked for beside its commands. */
export function helpTopics(): readonly string[] {
  return GROUPS.map((group) => (group === 'Policy' ? 'policies' : group.toLowerCase().replaceAll(' ', '-')));
}

/** One group of settings: its flags, and what stands in the file only. Undefined where there is no such topic. */
export function topicText(topic: string, { columns, paint = plain }: HelpStyle): string | undefined {
  const width = widthOf(columns);
  const group = GROUPS[helpTopics().findIndex((name) => stemOf(name) === stemOf(topic))];
  if (group === undefined) return undefined;
  const flags = flagsOf(group, width);
  const inFile = CONFIG_KEYS.filter((key) => key.group === group && !hasFlag(key));
  const lines = flags.length > 0 ? [paint(group), ...flags] : [];
  if (inFile.length > 0) {
    lines.push(...(lines.length > 0 ? [''] : []), paint(`${group}, in the file`));
    lines.push(...inFile.flatMap((key) => entry(key.name, flagMeaning(key), width)));
  }
  return `${lines.join('\n')}\n`;
}

/** `policy` and `policies`, `retry` and `retries` mean the same. */
function stemOf(word: string): string {
  return word.toLowerCase().replaceAll(/[ _]/g, '-').replace(/ies$/, 'y').replace(/s$/, '');
}

function flagsOf(group: Group, width: number): string[] {
  const keys = CONFIG_KEYS.filter((key) => key.group === group && hasFlag(key));
  return keys.flatMap((key) => entry(flagUsage(key), flagMeaning(key), width));
}

/** Whether anything on the command line sets it. */
export function hasFlag({ flags, switches }: ConfigKey): boolean {
  return flags.length + Object.keys(switches).length > 0;
}

const MEANING_COLUMN = 38;

/** A flag and what it means, in lines of at most `width`. */
export function entry(usage: string, meaning: string, width: number): string[] {
  const indent = ' '.repeat(MEANING_COLUMN);
  const wrapped = wrap(meaning, width - MEANING_COLUMN);
  const head = `  ${usage}`;
  if (head.length >= MEANING_COLUMN) return [head, ...wrapped.map((line) => indent + line)];
  return wrapped.map((line, index) => (index === 0 ? head.padEnd(MEANING_COLUMN) : indent) + line);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}
