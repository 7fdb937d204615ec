import { CONFIG_KEYS, keyNamed, pluginParameterKey, type ConfigKey } from '../schema/keys.ts';
import { problemAt, shown, type Entry, type Origin, type Problem, type Reading } from './layer.ts';
import { isBuiltInPolicy, PLUGIN_POLICIES } from '../schema/plugin-policy-schema.ts';
import { respelled } from './respell.ts';
import { nearest } from '../../base/suggest.ts';
import { unknownName } from '../schema/not-offered.ts';

/** A mapping of the configuration and what may stand in it. */
interface Section {
  readonly children: ReadonlyMap<string, Section | ConfigKey>;
}

/** How a source of nested values spells names and knows places. */
export interface ObjectSource {
  /** Turns a name of the schema into the source's spelling. */
  spell(segment: string): string;
  /** The origin of what stands at a path, in the source's spelling: of its name, or of its value. */
  origin(path: readonly PropertyKey[], of: 'name' | 'value'): Origin;
}

const isSection = (node: Section | ConfigKey): node is Section => 'children' in node;

/** A policy by a name that is not built in; whether a plugin has it is found out later. */
type PluginShape = Readonly<Record<string, unknown>> & { readonly type: string };

function isPluginShape(value: unknown): value is PluginShape {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false;
  return typeof value.type === 'string' && !isBuiltInPolicy(value.type);
}

function buildSection(
  keys: readonly ConfigKey[],
  depth: number,
  spell: (segment: string) => string,
): Section {
  const children = new Map<string, Section | ConfigKey>();
  const names = new Set(keys.map((key) => key.path[depth] ?? ''));
  for (const name of names) {
    const inside = keys.filter((key) => key.path[depth] === name);
    const leaf = inside.find((key) => key.path.length === depth + 1);
    children.set(spell(name), leaf ?? buildSection(inside, depth + 1, spell));
  }
  return { children };
}

/** Takes nested values (a parsed YAML file, the options of the programmatic API) apart into entries. */
export function readObject(root: unknown, source: ObjectSource): Reading {
  const layer = new Map<string, Entry>();
  const problems: Problem[] = [];
  const tree = buildSection(CONFIG_KEYS, 0, (segment) => source.spell(segment));

  const readNode = (node: Section | ConfigKey, value: unknown, path: readonly string[]): void => {
    if (value === undefined) return;
    if (!isSection(node)) readLeaf(node, value, path);
    else if (path.length === 1 && path[0] === 'policy' && typeof value === 'string') {
      const type = node.children.get('type');
      if (type && !isSection(type)) store(type, value, path);
    } else if (path.length === 1 && path[0] === 'policy' && isPluginShape(value)) {
      readPluginPolicy(node, value, path);
    } else readSection(node, value, path);
  };

  /** Parameters are handed to the plugin as they are written; the router reads the rest. */
  const readPluginPolicy = (section: Section, value: PluginShape, path: readonly string[]): void => {
    for (const [name, child] of Object.entries(value)) {
      const node = section.children.get(name);
      const own = node && !isSection(node) && (name === 'type' || node.policies?.includes(PLUGIN_POLICIES));
      if (own) readLeaf(node, child, [...path, name]);
      else store(pluginParameterKey(name, value.type), child, [...path, name]);
    }
  };

  const readLeaf = (key: ConfigKey, value: unknown, path: readonly string[]): void => {
    // `log_dir:` with nothing behind it leaves the key unset, where unset is something it can be.
    if (value !== null || key.default !== undefined) store(key, asChoice(key, value), path);
  };

  const store = (key: ConfigKey, value: unknown, path: readonly string[]): void => {
    layer.set(key.name, {
      key,
      value: key.structured ? respelled(key.node, value, (segment) => source.spell(segment)) : value,
      origin: (inside = []) => source.origin([...path, ...inside], 'value'),
    });
  };

  const readSection = (section: Section, value: unknown, path: readonly string[]): void => {
    if (value === null) return;
    if (typeof value !== 'object' || Array.isArray(value)) {
      const message = `expected a mapping${namesIn(section)}, got ${shown(value, false)}`;
      const name = path.join('.');
      problems.push(problemAt(source.origin(path, 'value'), name === '' ? 'configuration' : name, message));
      return;
    }
    for (const [name, child] of Object.entries(value)) {
      const node = section.children.get(name);
      if (node) readNode(node, child, [...path, name]);
      else problems.push(unknownKey(section, [...path, name], source));
    }
  };

  readNode(tree, root, []);
  return { layer: withoutOldPlaces(layer, problems), problems };
}

/** Names the keys of a section where they fit on a line. */
function namesIn(section: Section): string {
  const names = [...section.children.keys()];
  return names.length > 12 ? ' of keys' : ` with the keys ${names.join(', ')}`;
}

function unknownKey(section: Section, path: readonly string[], source: ObjectSource): Problem {
  const name = path.at(-1) ?? '';
  const full = path.join('.');
  const near = (): string | undefined =>
    nearest(name, [...section.children.keys()]) ?? elsewhere(name, source);
  return problemAt(source.origin(path, 'name'), full, unknownName('key', full, near));
}

/** The full name of a key that stands at another level, or whose flag was written: `prometheus_port`. */
function elsewhere(name: string, source: ObjectSource): string | undefined {
  const wanted = name.toLowerCase().replaceAll(/[-_]/g, '');
  const same = (word: string): boolean => word.replaceAll(/[-_]/g, '') === wanted;
  const key = CONFIG_KEYS.find(
    (entry) => same(entry.path.at(-1) ?? '') || entry.flags.some((flag) => same(flag)),
  );
  return key?.path.map((segment) => source.spell(segment)).join('.');
}

/** Keys that older files have in another place: old name, present name. */
const OLD_PLACES = [
  ['mode.worker_urls', 'worker_urls'],
  ['mode.prefill_urls', 'prefill_urls'],
  ['mode.decode_urls', 'decode_urls'],
  ['mode.prefill_policy', 'prefill_policy'],
  ['mode.decode_policy', 'decode_policy'],
  ['mode.discovery_address', 'pd.discovery_address'],
  ['enable_profiling', 'pd.profile'],
  ['profile_timeout_secs', 'pd.profile_timeout_secs'],
  ['mode.kv_events.topic_filter', 'kv_events.topic'],
  ['mode.kv_events.default_port', 'kv_events.port'],
  ['policy.load_check_interval_secs', 'load_check_interval_secs'],
  ['policy.controller_url', 'lmcache.controller_url'],
  ['policy.controller_api_key', 'lmcache.controller_api_key'],
  ['policy.poll_interval_secs', 'lmcache.poll_interval_secs'],
  ['policy.controller_timeout_ms', 'lmcache.controller_timeout_ms'],
  ['policy.lmcache_worker_map', 'lmcache.worker_map'],
] as const;

function withoutOldPlaces(
  layer: ReadonlyMap<string, Entry>,
  problems: Problem[],
): ReadonlyMap<string, Entry> {
  const moved = new Map(layer);
  for (const [old, present] of OLD_PLACES) {
    const entry = moved.get(old);
    const key = keyNamed(present);
    // The same name among the parameters of a plugin is the plugin's.
    if (!entry || !key || entry.key !== keyNamed(old)) continue;
    const other = moved.get(present);
    if (other) problems.push(problemAt(entry.origin(), old, `${present} says the same; give one of the two`));
    moved.delete(old);
    moved.set(present, { ...entry, key });
  }
  return moved;
}

/** YAML reads a choice that looks like a number as one. */
function asChoice({ kind, choices }: ConfigKey, value: unknown): unknown {
  const isNumber = kind === 'choice' && typeof value === 'number';
  return isNumber && choices.includes(String(value)) ? String(value) : value;
}
