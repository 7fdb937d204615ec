import { CONFIG_KEYS, type ConfigKey } from '../schema/keys.ts';
import { placeText, type Entry, type Layer, type Origin, type Problem } from './layer.ts';
import { nearest } from '../../base/suggest.ts';
import { unknownName } from '../schema/not-offered.ts';
import { peelPrefill, PREFILL_FLAG } from './prefill-flag.ts';
import { parseText } from './text-value.ts';

/** Flags that are not settings. */
export const META_FLAGS = [
  {
    flags: ['--config-file', '--config', '-c'],
    value: 'FILE',
    about: 'YAML file with settings; flags and environment go before it.',
  },
  {
    flags: ['--env-file'],
    value: 'FILE',
    about: 'File of NAME=value lines, read as if they were in the environment.',
  },
  { flags: ['--help', '-h'], value: undefined, about: 'Shows this text.' },
  { flags: ['--version', '-V'], value: undefined, about: 'Shows the version.' },
] as const;

export type FlagReading =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'flags';
      readonly layer: Layer;
      readonly configFile: string | undefined;
      readonly envFile: string | undefined;
      readonly problems: readonly Problem[];
    };

interface FlagTarget {
  readonly key: ConfigKey;
  /** True for `--no-x`. */
  readonly negated: boolean;
  /** What the flag alone sets the key to. */
  readonly value?: string;
}

const FLAGS = new Map<string, FlagTarget>();
for (const key of CONFIG_KEYS) {
  for (const flag of key.flags) {
    FLAGS.set(flag, { key, negated: false });
    if (key.kind === 'boolean') FLAGS.set(flag.replace('--', '--no-'), { key, negated: true });
  }
  for (const [flag, value] of Object.entries(key.switches)) FLAGS.set(flag, { key, negated: false, value });
}

/** Every spelling of a flag that names a file, with the main one. */
const FILES = new Map<string, string>(
  META_FLAGS.filter(({ value }) => value === 'FILE').flatMap(({ flags }) =>
    flags.map((flag) => [flag, flags[0]] as const),
  ),
);

/** Looks like a flag, so it is not the value of the one before. A negative number does not. */
const looksLikeFlag = (token: string): boolean => /^--?[A-Za-z]/.test(token) || token === '--';

/**
 * Reads the command line. `--name value` and `--name=value`; lists take every value up to the next flag and add up
 * over repetitions; other flags may be given once, whatever their spelling.
 */
export function parseFlags(argv: readonly string[]): FlagReading {
  const parser = new FlagParser(argv);
  return parser.run();
}

class FlagParser {
  readonly #argv: readonly string[];
  readonly #entries = new Map<string, Entry>();
  readonly #problems: Problem[] = [];
  readonly #files = new Map<string, { readonly flag: string; readonly path: string }>();
  readonly #hasPrefill: boolean;
  #at = 0;

  constructor(argv: readonly string[]) {
    const { items, rest, problems } = peelPrefill(argv);
    this.#argv = rest;
    this.#problems.push(...problems);
    this.#hasPrefill = items.length > 0;
    const target = FLAGS.get(PREFILL_FLAG);
    if (target && items.length > 0) this.#store(PREFILL_FLAG, target.key, items);
  }

  run(): FlagReading {
    while (this.#at < this.#argv.length) {
      const token = this.#argv[this.#at++] ?? '';
      if (token === '--help' || token === '-h') return { kind: 'help' };
      if (token === '--version' || token === '-V') return { kind: 'version' };
      this.#read(token);
    }
    return {
      kind: 'flags',
      layer: this.#entries,
      configFile: this.#files.get('--config-file')?.path,
      envFile: this.#files.get('--env-file')?.path,
      problems: this.#problems,
    };
  }

  #read(token: string): void {
    const equals = token.startsWith('--') ? token.indexOf('=') : -1;
    const flag = equals < 0 ? token : token.slice(0, equals);
    const inline = equals < 0 ? undefined : token.slice(equals + 1);
    const file = FILES.get(flag);
    if (file !== undefined) {
      this.#file(flag, file, inline);
      return;
    }
    const target = FLAGS.get(flag);
    if (target) this.#setting(flag, target, inline);
    else if (looksLikeFlag(token))
      this.#problem(
        flag,
        unknownName('flag', flag, () => nearestFlag(flag)),
      );
    else
      this.#problem(JSON.stringify(token), `unexpected argument: it belongs to no flag${this.#hint(token)}`);
    // The values of an unknown flag would each be reported as well.
    if (!target) while (this.#nextValue() !== undefined) this.#at++;
  }

  /** `--decode` takes several URLs, `--prefill` a URL and its port. */
  #hint(token: string): string {
    const isPrefill = this.#hasPrefill && token.includes('://');
    return isPrefill ? `; every prefill worker needs a ${PREFILL_FLAG} of its own` : '';
  }

  #file(flag: string, name: string, inline: string | undefined): void {
    const value = this.#single(flag, inline);
    const earlier = this.#files.get(name);
    if (earlier) this.#problem(flag, `is given twice${alias(earlier.flag, flag)}`);
    else if (value === '') this.#problem(flag, 'needs a value');
    else if (value !== undefined) this.#files.set(name, { flag, path: value });
  }

  #setting(flag: string, { key, negated, value }: FlagTarget, inline: string | undefined): void {
    if (value !== undefined) {
      this.#switch(flag, key, { value, inline });
      return;
    }
    if (key.kind === 'list') {
      this.#list(flag, key, inline);
      return;
    }
    let text: string | undefined;
    if (key.kind !== 'boolean') text = this.#single(flag, inline);
    else if (!negated) text = inline ?? 'true';
    else if (inline === undefined) text = 'false';
    else this.#problem(flag, 'takes no value');
    if (text === undefined) return;
    const earlier = this.#entries.get(key.name);
    if (earlier) this.#problem(flag, `is given twice${alias(placeText(earlier.origin()), flag)}`);
    else this.#store(flag, key, parseText(key, text));
  }

  #switch(
    flag: string,
    key: ConfigKey,
    { value, inline }: { value: string; inline: string | undefined },
  ): void {
    const earlier = this.#entries.get(key.name);
    const other = earlier && placeText(earlier.origin());
    if (inline !== undefined) this.#problem(flag, 'takes no value');
    else if (other === flag) this.#problem(flag, 'is given twice');
    else if (other !== undefined) this.#problem(flag, `cannot be given beside ${other}`);
    else this.#store(flag, key, value);
  }

  #list(flag: string, key: ConfigKey, inline: string | undefined): void {
    const texts = inline === undefined || inline === '' ? [] : [inline];
    for (let next = this.#nextValue(); next !== undefined; next = this.#nextValue()) {
      texts.push(next);
      this.#at++;
    }
    if (texts.length === 0) {
      this.#problem(flag, 'needs a value');
      return;
    }
    const earlier = this.#entries.get(key.name)?.value;
    this.#store(flag, key, [...(Array.isArray(earlier) ? (earlier as unknown[]) : []), ...texts]);
  }

  #single(flag: string, inline: string | undefined): string | undefined {
    if (inline !== undefined) return inline;
    const next = this.#nextValue();
    if (next === undefined) this.#problem(flag, 'needs a value');
    else this.#at++;
    return next;
  }

  #nextValue(): string | undefined {
    const next = this.#argv[this.#at];
    return next === undefined || looksLikeFlag(next) ? undefined : next;
  }

  #store(flag: string, key: ConfigKey, value: unknown): void {
    const origin: Origin = { kind: 'flag', flag };
    this.#entries.set(key.name, { key, value, origin: () => origin });
  }

  #problem(at: string, message: string): void {
    this.#problems.push({ at, message });
  }
}

const alias = (earlier: string, flag: string): string =>
  earlier === flag ? '' : ` (it is the same as ${earlier})`;

function nearestFlag(flag: string): string | undefined {
  const metaFlags = META_FLAGS.flatMap((meta) => meta.flags);
  const known = [...FLAGS].filter(([, target]) => !target.negated).map(([name]) => name);
  const near = nearest(flag, [...known, ...metaFlags]);
  if (near !== undefined) return near;
  // Somebody may write the YAML name: --metrics-port for --prometheus-port.
  const byName = nearest(
    flag,
    CONFIG_KEYS.map((key) => key.name),
  );
  return CONFIG_KEYS.find((key) => key.name === byName)?.flags[0];
}
