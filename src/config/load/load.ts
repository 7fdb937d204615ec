import { dirname, resolve } from 'node:path';
import { readEnv, type Environment } from './env.ts';
import { readEnvFile, type EnvFile } from './env-file.ts';
import { readText, readYaml } from './file.ts';
import { parseFlags } from './flags.ts';
import { inLineOrder, type Layer, type Origin, type Problem, type Reading } from './layer.ts';
import { readOptions, type RouterOptions } from './options.ts';
import { NO_PLUGINS, type KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { resolveLayers, type Resolved } from './resolve.ts';

/** The files that were read, so that they can be watched. */
export interface Sources {
  /** The YAML file as it was named; undefined when none was. */
  readonly configFile?: string | undefined;
  /** Absolute paths. */
  readonly files?: readonly string[] | undefined;
}

export type LoadResult = (Resolved & Sources) | { readonly kind: 'help' } | { readonly kind: 'version' };

export interface LoadInput {
  /** Without the program's and the sub-command's name. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Relative paths of files start here. */
  readonly cwd: string;
  /** False where configuration is only looked at: that no worker is named is no problem then. Default true. */
  readonly needsWorkers?: boolean;
  /** What `${VAR}` is looked up in; default `env`. */
  readonly variables?: Environment;
  /** Values that count where no other source says otherwise. */
  readonly beneath?: Reading;
  /** True where configuration is only looked at, perhaps on another machine: what it refers to need not be there. */
  readonly lenient?: boolean;
}

/**
 * Reads the whole configuration: flags go before environment, environment before file, file before defaults.
 * @param plugins Those that the configuration names, loaded before.
 */
export function loadConfig(input: LoadInput, plugins: KnownPlugins = NO_PLUGINS): LoadResult {
  const read = readSources(input);
  return read.kind === 'sources' ? resolveSources(read, plugins) : read;
}

/** What the sources say, not yet validated. */
export interface ReadSources extends Sources {
  readonly kind: 'sources';
  readonly layers: readonly Layer[];
  readonly problems: readonly Problem[];
  /** Whether the file could be read in part only. */
  readonly partial: boolean;
  readonly input: LoadInput;
  readonly notices: readonly string[];
  /** What `${VAR}` is looked up in. */
  readonly variables: Environment;
}

export function readSources(
  input: LoadInput,
): ReadSources | { readonly kind: 'help' } | { readonly kind: 'version' } {
  const flags = parseFlags(input.argv);
  if (flags.kind !== 'flags') return flags;
  const problems: Problem[] = [...(input.beneath?.problems ?? []), ...flags.problems];

  let envFile: EnvFile | undefined;
  if (flags.envFile !== undefined) {
    const text = readText(flags.envFile, input.cwd);
    if (text.kind === 'ok') envFile = readEnvFile(text.text, flags.envFile);
    problems.push(...(text.kind === 'ok' ? (envFile?.problems ?? []) : [text.problem]));
  }
  const env = readEnv(input.env, envFile);
  problems.push(...env.problems);

  const layers: Layer[] = input.beneath ? [input.beneath.layer] : [];
  let partial = false;
  const file = flags.configFile ?? env.configFile;
  if (file !== undefined) {
    const text = readText(file, input.cwd);
    if (text.kind === 'bad') problems.push(text.problem);
    else {
      const reading = readYaml(text.text, file);
      problems.push(...reading.problems);
      partial = reading.partial === true;
      layers.push(reading.layer);
    }
  }
  layers.push(env.layer, flags.layer);
  const files = [file, flags.envFile].flatMap((path) => (path === undefined ? [] : resolve(input.cwd, path)));
  return {
    kind: 'sources',
    ...{ layers, problems, partial, input, configFile: file, files },
    notices: ignoredNotice(env.ignored),
    variables: { ...envFile?.variables, ...(input.variables ?? input.env) },
  };
}

export function resolveSources(read: ReadSources, plugins: KnownPlugins): Resolved & Sources {
  const { layers, problems, partial, input, notices, configFile, files, variables } = read;
  const { needsWorkers = true, lenient = false, cwd } = input;
  const surroundings = { variables, cwd, lenient };
  const resolved = finish(layers, problems, { needsWorkers, notices, plugins, surroundings, partial });
  const referred = resolved.kind === 'ok' ? resolved.secretFiles : [];
  return { ...resolved, configFile, ...(files && { files: [...new Set([...files, ...referred])] }) };
}

/** A module that the configuration names. */
export interface NamedPlugin {
  readonly specifier: string;
  /** Where relative paths and the search for packages begin: an absolute directory. */
  readonly base: string;
  /** Where it is named. */
  readonly at: Origin;
}

/** The modules of the highest source that names any. What is no list of names is the schema's business. */
export function pluginsNamed({ layers, input: { cwd } }: ReadSources): readonly NamedPlugin[] {
  const entry = layers.findLast((layer) => layer.has('plugins'))?.get('plugins');
  if (!entry || !Array.isArray(entry.value)) return [];
  const origin = entry.origin();
  const base = origin.kind === 'file' ? dirname(resolve(cwd, origin.file)) : resolve(cwd);
  return entry.value.flatMap((specifier: unknown, index) =>
    typeof specifier === 'string' && specifier !== '' ? [{ specifier, base, at: entry.origin([index]) }] : [],
  );
}

/** The same for the programmatic API: options over defaults; no flags, no environment, no file. */
export function configFromOptions(options: RouterOptions, plugins: KnownPlugins = NO_PLUGINS): Resolved {
  const reading = readOptions(options);
  return finish([reading.layer], [...reading.problems], { needsWorkers: true, notices: [], plugins });
}

/** What could be read is validated even when something could not, so that one run shows every problem. */
function finish(
  layers: readonly Layer[],
  problems: readonly Problem[],
  options: Parameters<typeof resolveLayers>[1],
): Resolved {
  // With a problem on record the workers may be missing only because their source could not be read.
  const clean = problems.length === 0;
  const resolved = resolveLayers(layers, { ...options, needsWorkers: options.needsWorkers && clean });
  if (clean && resolved.kind === 'ok') return resolved;
  const more = resolved.kind === 'error' ? resolved.problems : [];
  return { kind: 'error', problems: inLineOrder([...problems, ...more]) };
}

function ignoredNotice(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [`ignored ${names.join(', ')}: Kubernetes sets them for a Service called vllm-router`];
}
