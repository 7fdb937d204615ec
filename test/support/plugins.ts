import { importModule } from '../../src/plugins/import-module.ts';
import type { Plugin } from '../../src/plugins/plugin.ts';
import { ROOT } from './serve.ts';

/** What one of the examples exports, imported as the router does it. */
export async function examplePlugin(name: string): Promise<Plugin> {
  const imported = await importModule(`./examples/plugins/${name}.ts`, ROOT);
  if (imported.kind === 'bad') throw new Error(`${name} ${imported.message}`);
  // A router that is given it checks what it is.
  return imported.exported as Plugin;
}
