import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

/** What a module could not be loaded for, or what it exports as `default`. */
export type Imported =
  | { readonly kind: 'ok'; readonly exported: unknown; readonly url: string }
  /** `message` follows the module's name. */
  | { readonly kind: 'bad'; readonly message: string };

/** The package's own name: plugins import types and constants from it, wherever they stand themselves. */
const OWN_NAME = 'vllm-router';
const OWN_ENTRY = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url)
  .href;
const ALIAS = 'vllm-router-plugin:';

interface Wanted {
  readonly specifier: string;
  readonly parents: readonly string[];
  url: string;
}

const wanted = new Map<string, Wanted>();
let hooked = false;

/**
 * Imports a module by its path or by the name of its package, as if `base` held a module that did so; a package is also
 * looked for beside this one, where a global installation has it.
 */
export async function importModule(specifier: string, base: string): Promise<Imported> {
  hook();
  const alias = ALIAS + String(wanted.size);
  const parents = [pathToFileURL(join(base, 'importer.mjs')).href, import.meta.url];
  const entry: Wanted = { specifier, parents, url: '' };
  wanted.set(alias, entry);
  try {
    const module: unknown = await import(alias);
    return { kind: 'ok', exported: defaultOf(module), url: entry.url };
  } catch (error) {
    return { kind: 'bad', message: problemOf(error, entry) };
  }
}

/** Node has no other way to resolve a name from a directory with the rules of `import`. */
function hook(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier === OWN_NAME) return next(OWN_ENTRY, context);
      const entry = wanted.get(specifier);
      if (!entry) return next(specifier, context);
      const [near = '', far = ''] = entry.parents;
      const from = (parentURL: string) => next(entry.specifier, { ...context, parentURL });
      let resolved;
      try {
        resolved = from(near);
      } catch (error) {
        if (!isNotFound(error) || /^[./]|^file:/.test(entry.specifier)) throw error;
        resolved = from(far);
      }
      entry.url = resolved.url;
      return resolved;
    },
  });
}

/** Also of a CommonJS module that was written as an ES module. */
function defaultOf(module: unknown): unknown {
  const exported: unknown = isObject(module) && 'default' in module ? module.default : undefined;
  if (isObject(exported) && !('apiVersion' in exported) && 'default' in exported) return exported.default;
  return exported;
}

function problemOf(error: unknown, { specifier, url }: Wanted): string {
  if (url === '' && isNotFound(error)) {
    const hint = /^[./]|^file:/.test(specifier) ? '' : ' (a path begins with ./, ../ or /)';
    return `cannot be found${hint}`;
  }
  const first = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  const text = first.slice(0, 500).replaceAll(/\bvllm-router-plugin:\d+/g, specifier);
  if (error instanceof SyntaxError && !text.includes('does not provide an export')) {
    const asCommonJs = /outside a module|^Unexpected token 'export'/.test(text);
    const hint = asCommonJs
      ? 'the ending .mjs or .mts, or "type": "module" in the nearest package.json, makes it an ES module'
      : // Node keeps the place to itself until it ends over the error.
        'node --check shows the place';
    return `is not valid: ${text} (${hint})`;
  }
  return `cannot be loaded: ${text}`;
}

function isNotFound(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'ERR_UNSUPPORTED_DIR_IMPORT')
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
