import type { RouterOptions } from '../../src/config/load/options.ts';
import type { Provider } from './provider.ts';

type Entry = NonNullable<RouterOptions['workers']>[number];

/** The provider as a worker of the configuration, under the name `outside` unless another one is given. */
export function outside(
  { url }: Pick<Provider, 'url'>,
  external: NonNullable<Entry['external']> = {},
  more: Partial<Entry> = {},
): Entry {
  return {
    url,
    workerType: 'external',
    apiKey: 'sk-provider',
    ...more,
    external: { name: 'outside', ...external },
  };
}
