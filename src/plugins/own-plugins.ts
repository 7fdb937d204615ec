import { policyNames } from '../config/schema/keys.ts';
import type { RouterOptions } from '../config/load/options.ts';
import { importModule } from './import-module.ts';
import type { Plugin } from './plugin.ts';
import { PluginSet } from './plugin-set.ts';

/** The plugins of a router inside another program, registered; the other options name them where settings show them. */
export function ownPlugins({ plugins = [], ...rest }: RouterOptions): {
  readonly plugins: PluginSet;
  readonly rest: RouterOptions;
  readonly problems: readonly string[];
} {
  const set = new PluginSet(policyNames());
  const problems = plugins.flatMap((plugin, index) => {
    const from = `plugins[${index}]`;
    if (typeof plugin === 'string')
      return [`${from}: ${plugin} has to be loaded first: await Router.load(options)`];
    const problem = set.add({ from, exported: plugin });
    return problem === undefined ? [] : [`${from}: ${problem}`];
  });
  const named = plugins.map((plugin) => (typeof plugin === 'string' ? plugin : namesOf(plugin)));
  return { plugins: set, rest: named.length === 0 ? rest : { ...rest, plugins: named }, problems };
}

/** Under which name an object was imported. */
const importedAs = new WeakMap<object, string>();

/** Objects as they are, and what the modules export that are named. */
export async function importPlugins(
  plugins: readonly (Plugin | string)[],
  base: string,
): Promise<{ readonly exported: readonly Plugin[]; readonly problems: readonly string[] }> {
  const problems: string[] = [];
  const exported: Plugin[] = [];
  for (const [index, plugin] of plugins.entries()) {
    if (typeof plugin !== 'string') {
      exported.push(plugin);
      continue;
    }
    const imported = await importModule(plugin, base);
    if (imported.kind === 'bad') problems.push(`plugins[${index}]: ${plugin} ${imported.message}`);
    else {
      // Checked when it is registered.
      const own = imported.exported as Plugin;
      if (typeof own === 'object' && own !== null) importedAs.set(own, plugin);
      exported.push(own);
    }
  }
  return { exported, problems };
}

/** The module that it was imported from, else `object(policy a, hook b)`. */
function namesOf(plugin: Plugin): string {
  const known = typeof plugin === 'object' && plugin !== null ? importedAs.get(plugin) : undefined;
  if (known !== undefined) return known;
  // A caller without types may have handed in anything; that is told when it is registered.
  const { policies, hooks } = (plugin ?? {}) as Partial<Plugin>;
  const names = [
    ...Object.keys(policies ?? {}).map((name) => `policy ${name}`),
    ...Object.keys(hooks ?? {}).map((name) => `hook ${name}`),
  ];
  return `object(${names.join(', ')})`;
}
