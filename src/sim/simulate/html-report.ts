import type { SimulateOptions } from './options.ts';
import type { Study } from './study.ts';

/** One self-contained page. */
export function htmlReport(studies: readonly Study[], options: SimulateOptions): string {
  void options;
  return `<!doctype html><title>simulate</title><pre>${String(studies.length)}</pre>`;
}
