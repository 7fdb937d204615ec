import { encodeBlockHashes, recordedBlockTokens } from '../../routing/recorded-blocks.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

const TEXT_CHARS = 64 * 1024;

/** Takes from the prompt what the decision log keeps of it, while it is there. */
export function recordPrompt(rt: Runtime, arrival: Arrival, call: Call): void {
  const { decisionLog } = rt.settings;
  if (!rt.decisionLog || !decisionLog || arrival.endpoint.prompt === undefined) return;
  const blocks = call.ask.blocks();
  const hashes = encodeBlockHashes(blocks);
  arrival.recordedPrompt = {
    ...(hashes === '' ? {} : { block_hashes: hashes, block_tokens: recordedBlockTokens(blocks) }),
    ...(decisionLog.includeRequestText ? { request_text: call.ask.promptText(TEXT_CHARS) } : {}),
  };
}
