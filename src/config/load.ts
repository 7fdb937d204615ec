import { readEnv, type Environment } from './env.ts';
import { parseEnvFile, readText, readYaml } from './file.ts';
import { parseFlags } from './flags.ts';
import type { Layer, Problem } from './layer.ts';
import { readOptions, type RouterOptions } from './options.ts';
import { resolveLayers, type Resolved } from './resolve.ts';

export type LoadResult = Resolved | { readonly kind: 'help' } | { readonly kind: 'version' };

export interface LoadInput {
  /** Without the program's and the sub-command's name. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Relative paths of files start here. */
  readonly cwd: string;
  /** False where configuration is only looked at: that no worker is named is no problem then. Default true. */
  readonly needsWorkers?: boolean;
}

/** Reads the whole configuration: flags go before environment, environment before file, file before defaults. */
export function loadConfig(input: LoadInput): LoadResult {
  const flags = parseFlags(input.argv);
  if (flags.kind !== 'flags') return flags;
  const problems: Problem[] = [...flags.problems];

  let envFile: { path: string; variables: Environment } | undefined;
  if (flags.envFile !== undefined) {
    const text = readText(flags.envFile, input.cwd);
    if (text.kind === 'ok') envFile = { path: flags.envFile, variables: parseEnvFile(text.text) };
    else problems.push(text.problem);
  }
  const env = readEnv(input.env, envFile);
  problems.push(...env.problems);

  const layers: Layer[] = [];
  const file = flags.configFile ?? env.configFile;
  if (file !== undefined) {
    const text = readText(file, input.cwd);
    if (text.kind === 'bad') problems.push(text.problem);
    else {
      const reading = readYaml(text.text, file);
      problems.push(...reading.problems);
      layers.push(reading.layer);
    }
  }
  layers.push(env.layer, flags.layer);
  return finish(layers, problems, {
    needsWorkers: input.needsWorkers ?? true,
    notices: ignoredNotice(env.ignored),
  });
}

/** The same for the programmatic API: options over defaults; no flags, no environment, no file. */
export function configFromOptions(options: RouterOptions): Resolved {
  const reading = readOptions(options);
  return finish([reading.layer], [...reading.problems], { needsWorkers: true, notices: [] });
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
  if (clean) return resolved;
  return { kind: 'error', problems: [...problems, ...(resolved.kind === 'error' ? resolved.problems : [])] };
}

function ignoredNotice(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [`ignored ${names.join(', ')}: Kubernetes sets them for a Service called vllm-router`];
}
