/**
 * Prompt tokens that a worker has to compute. At least one: vLLM computes the last token of a prompt even when all of
 * it is cached, as it needs its logits.
 */
export function uncachedTokens(totalTokens: number, matchedTokens: number): number {
  return Math.max(1, totalTokens - matchedTokens);
}
