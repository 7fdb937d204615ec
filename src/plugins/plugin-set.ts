import { systemClock } from '../base/system-clock.ts';
import { systemRandom } from '../base/random.ts';
import type { KnownPlugins, PluginReading } from '../config/schema/plugin-policy-schema.ts';
import type { PolicyDeps } from '../routing/policy.ts';
import { PLUGIN_API_VERSION, type HookPlugin, type PolicyPlugin, type RawParameters } from './plugin.ts';

/** A module that was loaded, and what it exports as `default`. */
export interface LoadedModule {
  /** As it was named. */
  readonly from: string;
  readonly exported: unknown;
}

interface Known<Definition> {
  readonly from: string;
  readonly definition: Definition;
}

const NAME = /^[a-z][a-z0-9_]{0,63}$/;

/** The policies and hooks that plugins bring, by name. Which ones there are does not change after the start. */
export class PluginSet implements KnownPlugins {
  readonly #policies = new Map<string, Known<PolicyPlugin>>();
  readonly #hooks = new Map<string, Known<HookPlugin>>();
  readonly #builtIn: ReadonlySet<string>;
  readonly #single: string[] = [];

  /** @param builtIn Names of policies that no plugin may take. */
  constructor(builtIn: Iterable<string>) {
    this.#builtIn = new Set(builtIn);
  }

  /** Modules that want one thread to serve all requests. */
  get single(): readonly string[] {
    return this.#single;
  }

  get isEmpty(): boolean {
    return this.#policies.size + this.#hooks.size === 0;
  }

  get policyNames(): readonly string[] {
    return [...this.#policies.keys()];
  }

  get hookNames(): readonly string[] {
    return [...this.#hooks.keys()];
  }

  /** Registers what a module exports. What is wrong with it, in words that follow its name; undefined: nothing. */
  add({ from, exported }: LoadedModule): string | undefined {
    const plugin = asRecord(exported);
    if (!plugin) return `exports no plugin as default, but ${kindOf(exported)}`;
    const { apiVersion, threads, policies = {}, hooks = {}, ...rest } = plugin;
    if (apiVersion !== PLUGIN_API_VERSION)
      return `is written for the plugin API ${shownVersion(apiVersion)}; this router has version ${PLUGIN_API_VERSION}`;
    const unknown = Object.keys(rest);
    if (unknown.length > 0) return `exports ${unknown.join(', ')}, which no plugin has`;
    if (threads !== undefined && threads !== 'single')
      return `has threads: ${JSON.stringify(threads) ?? ''}, which can only be "single"`;
    const policyList = asRecord(policies);
    const hookList = asRecord(hooks);
    if (!policyList || !hookList) return 'exports policies or hooks that are no object of names';
    if (Object.keys(policyList).length + Object.keys(hookList).length === 0)
      return 'exports neither policies nor hooks';
    const wrong =
      this.#register('policy', from, policyList, this.#policies) ??
      this.#register('hook', from, hookList, this.#hooks);
    if (wrong === undefined && threads === 'single') this.#single.push(from);
    return wrong;
  }

  policy(name: string, raw: RawParameters): PluginReading<PolicyPlugin> | undefined {
    const known = this.#policies.get(name);
    return (
      known &&
      tried(known.definition, raw, 'choose', (parameters) => known.definition.create(parameters, INERT))
    );
  }

  hook(name: string, raw: RawParameters): PluginReading<HookPlugin> | undefined {
    const known = this.#hooks.get(name);
    return known && tried(known.definition, raw, 'run', (parameters) => known.definition.create(parameters));
  }

  #register<Definition>(
    what: 'policy' | 'hook',
    from: string,
    list: Readonly<Record<string, unknown>>,
    known: Map<string, Known<Definition>>,
  ): string | undefined {
    for (const [name, definition] of Object.entries(list)) {
      const full = `${what} ${JSON.stringify(name)}`;
      if (!NAME.test(name))
        return `has the ${full}: expected a name of a-z, 0-9 and _ that begins with a letter`;
      const create = asRecord(definition)?.['create'];
      if (typeof create !== 'function') return `has the ${full} without a create function`;
      if (what === 'policy' && this.#builtIn.has(name))
        return `has the ${full}, which is the name of a built-in one`;
      const other = known.get(name);
      if (other) return `has the ${full}, which ${other.from} has already`;
      // What else is wrong with it shows when it is used.
      known.set(name, { from, definition: definition as Definition });
    }
    return undefined;
  }
}

/** Reads the parameters and makes one, to see that it can be made. */
function tried<Definition extends PolicyPlugin | HookPlugin>(
  plugin: Definition,
  raw: RawParameters,
  method: string,
  create: (parameters: unknown) => unknown,
): PluginReading<Definition> {
  let parameters: unknown;
  try {
    if (plugin.parameters) parameters = plugin.parameters(raw);
    else {
      const [first] = Object.keys(raw);
      if (first !== undefined)
        return { kind: 'bad', path: [first], message: 'unknown key: it has no parameters' };
    }
  } catch (error) {
    return { kind: 'bad', path: pathOf(error), message: messageOf(error) };
  }
  try {
    const made = asRecord(create(parameters));
    if (typeof made?.[method] === 'function') return { kind: 'ok', plugin, parameters };
    return { kind: 'bad', path: [], message: `create made nothing with a ${method} function` };
  } catch (error) {
    return { kind: 'bad', path: pathOf(error), message: `create threw: ${messageOf(error)}` };
  }
}

/** What a policy is tried with: an idle fleet of which nothing is known. */
const INERT: PolicyDeps = {
  loads: { running: () => 0, prefillTokens: () => 0, kvTokens: () => 0, prefillRate: () => 8000 },
  cache: { match: () => ({ tokens: 0, source: 'none' }) },
  clock: systemClock,
  random: systemRandom,
};

/** `ParameterError.path`; a plugin may have another copy of the class, or an error of its own like it. */
function pathOf(error: unknown): readonly string[] {
  const path = error instanceof Error && 'path' in error ? error.path : undefined;
  return typeof path === 'string' && path !== '' ? path.split('.') : [];
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return (text.split('\n')[0] ?? '').slice(0, 500);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  // Names are looked up and every value is checked before it is used.
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function kindOf(value: unknown): string {
  return value === undefined ? 'nothing' : value === null ? 'null' : `a ${typeof value}`;
}

function shownVersion(version: unknown): string {
  return version === undefined
    ? 'of no version (apiVersion is missing)'
    : `version ${JSON.stringify(version) ?? ''}`;
}
