import { REMEDIES } from '../../cache-knowledge/accuracy/verdicts.ts';
import type { Check } from '../check.ts';
import { fail, ok, skipped } from '../finding.ts';

/** What the engine says of its prefix cache, and whether that is what is expected. */
export const cache: Check = {
  name: 'cache',
  about: 'Block size and size of the cache, and whether prefix caching is on.',
  needs: ['load'],
  run({ chart, expected }) {
    const config = chart.cache;
    if (!config) return Promise.resolve(skipped('/metrics has no vllm:cache_config_info'));
    const { blockSize, blocks, prefixCaching } = config;
    if (prefixCaching === false)
      return Promise.resolve(fail('the engine says that prefix caching is off', REMEDIES.prefix_caching_off));
    if (expected.blockSize !== undefined && expected.blockSize !== blockSize)
      return Promise.resolve(
        fail(
          `blocks of ${String(blockSize)} tokens, and ${String(expected.blockSize)} are configured`,
          `Set block_size to ${String(blockSize)} or leave it out, or start vLLM with --block-size ${String(expected.blockSize)}.`,
        ),
      );
    const size = blocks === undefined ? '' : `, ${(blocks * blockSize).toLocaleString('en')} tokens in all`;
    return Promise.resolve(ok(`blocks of ${String(blockSize)} tokens${size}`));
  },
};
