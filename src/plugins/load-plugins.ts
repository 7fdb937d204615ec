import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { originText, placeText, type Origin, type Problem } from '../config/load/layer.ts';
import {
  loadConfig,
  pluginsNamed,
  readSources,
  resolveSources,
  type LoadInput,
  type LoadResult,
  type NamedPlugin,
} from '../config/load/load.ts';
import { policyNames } from '../config/schema/keys.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import { importModule } from './import-module.ts';
import { PluginSet } from './plugin-set.ts';

/** A module that was loaded. */
export interface PluginModule {
  /** As it was named. */
  readonly specifier: string;
  /** The `file:` URL that it came from. */
  readonly url: string;
  readonly policies: readonly string[];
  readonly hooks: readonly string[];
  /** Whether it wants one thread to serve all requests. */
  readonly single: boolean;
  /** Of the file as it was, where it could be read. */
  readonly digest: string | undefined;
}

/** Where another thread finds the same module. */
export type PluginSource = Pick<PluginModule, 'specifier' | 'url' | 'single'>;

/** The plugins of a running router. */
export interface LoadedPlugins {
  readonly set: PluginSet;
  readonly modules: readonly PluginModule[];
}

export type PluginLoading =
  | { readonly kind: 'ok'; readonly plugins: LoadedPlugins }
  | {
      readonly kind: 'error';
      readonly problems: readonly Problem[];
      /** Those that could be loaded. */
      readonly others: KnownPlugins;
    };

/** A module whose top level waits for something that never comes would keep the start waiting without a word. */
const LOAD_TIMEOUT_MS = 30_000;

export function noPlugins(): LoadedPlugins {
  return { set: new PluginSet(policyNames()), modules: [] };
}

/** Imports the modules one after the other and registers what they bring; every problem is reported. */
export async function loadPlugins(named: readonly NamedPlugin[]): Promise<PluginLoading> {
  const set = new PluginSet(policyNames());
  const modules: PluginModule[] = [];
  const problems: Problem[] = [];
  for (const { specifier, base, at } of named) {
    const before = { policies: set.policyNames.length, hooks: set.hookNames.length };
    const imported = await inTime(importModule(specifier, base));
    const wrong = imported.kind === 'bad' ? imported.message : set.add({ from: specifier, ...imported });
    if (wrong !== undefined) {
      problems.push(pluginProblem(at, specifier, wrong));
      continue;
    }
    if (imported.kind === 'bad') continue;
    modules.push({
      specifier,
      url: imported.url,
      policies: set.policyNames.slice(before.policies),
      hooks: set.hookNames.slice(before.hooks),
      single: set.single.includes(specifier),
      digest: digestOf(imported.url),
    });
  }
  if (problems.length === 0) return { kind: 'ok', plugins: { set, modules } };
  const others: KnownPlugins = {
    incomplete: true,
    policyNames: set.policyNames,
    policy: (name, parameters) => set.policy(name, parameters),
    hookNames: set.hookNames,
    hook: (name, parameters) => set.hook(name, parameters),
  };
  return { kind: 'error', problems, others };
}

/** The same modules in another thread: each has instances of its own. Rejects where one cannot be loaded there. */
export async function loadPluginsAgain(sources: readonly PluginSource[]): Promise<PluginSet> {
  const set = new PluginSet(policyNames());
  for (const { specifier, url } of sources) {
    const imported = await inTime(importModule(url, process.cwd()));
    const wrong = imported.kind === 'bad' ? imported.message : set.add({ from: specifier, ...imported });
    if (wrong !== undefined) throw new Error(`the plugin ${specifier} ${wrong}`);
  }
  return set;
}

/** `loadConfig`, with the plugins that the configuration names loaded before it is validated. */
export async function loadConfigWithPlugins(
  input: LoadInput,
): Promise<LoadResult & { readonly plugins?: LoadedPlugins }> {
  const read = readSources(input);
  if (read.kind !== 'sources') return read;
  const loading = await loadPlugins(pluginsNamed(read));
  if (loading.kind === 'error') {
    const problems = [...read.problems, ...loading.problems];
    return resolveSources({ ...read, problems }, loading.others);
  }
  const { plugins } = loading;
  return { ...resolveSources(read, plugins.set), plugins };
}

/** `loadConfig` once more, with the plugins of the start: modules are loaded once in the life of a process. */
export function rereadConfig(input: LoadInput, plugins: LoadedPlugins): LoadResult {
  const loaded = loadConfig(input, plugins.set);
  if (loaded.kind !== 'ok') return loaded;
  const changed = changedModules(plugins);
  if (changed.length === 0) return loaded;
  const notice = `plugins: ${changed.join(', ')} changed since the start; that needs a restart`;
  return { ...loaded, notices: [...loaded.notices, notice] };
}

/** The modules whose files are not what was loaded: they count from the next start on. Imports of theirs are not looked at. */
export function changedModules({ modules }: LoadedPlugins): readonly string[] {
  return modules.filter(({ url, digest }) => digestOf(url) !== digest).map(({ specifier }) => specifier);
}

/** One line for each module, e.g. `./my-policy.ts: policy my_policy`. */
export function describeModules({ modules }: LoadedPlugins): readonly string[] {
  return modules.map(({ specifier, policies, hooks }) => {
    const parts = [...policies.map((name) => `policy ${name}`), ...hooks.map((name) => `hook ${name}`)];
    return `${specifier}: ${parts.join(', ')}`;
  });
}

function pluginProblem(at: Origin, specifier: string, message: string): Problem {
  const named = at.kind === 'file' || at.kind === 'default' ? 'plugins: ' : '';
  return {
    at: at.kind === 'default' ? originText(at) : placeText(at),
    message: `${named}${specifier} ${message}`,
  };
}

function inTime<T>(work: Promise<T>): Promise<T | { readonly kind: 'bad'; readonly message: string }> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve({ kind: 'bad', message: `was not loaded within ${LOAD_TIMEOUT_MS / 1000} s` });
    }, LOAD_TIMEOUT_MS);
    void work.then((result) => {
      clearTimeout(timer);
      resolve(result);
    });
  });
}

function digestOf(url: string): string | undefined {
  try {
    return createHash('sha256')
      .update(readFileSync(new URL(url)))
      .digest('hex');
  } catch {
    return undefined;
  }
}
