import { isPath } from '../../base/path.ts';
import type { TokenizerPaths } from '../../config/settings/exact-tokens.ts';

/**
 * Where the tokenizer of a model of a worker lies, as far as one is configured.
 * @param own What the worker's registration says, which may also be a name on a hub.
 */
export function tokenizerPathFor(
  own: string | undefined,
  { byModel, otherwise }: TokenizerPaths,
  model: string,
): string | undefined {
  if (own !== undefined && isPath(own)) return own;
  return byModel.find(([part]) => model.includes(part))?.[1] ?? otherwise;
}
