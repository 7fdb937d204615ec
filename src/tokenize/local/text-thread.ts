/** What the text thread runs: chat templates and tokenizers, which may take long and whose regular expressions nobody has looked at. */
import type { Channel } from '../../base/channel.ts';
import { LocalTokenizer } from './local-tokenizer.ts';
import { LOAD, TOKENISE, type LoadedTokenizer, type TextResult } from './text-messages.ts';

export function serve(_data: undefined, channel: Channel): void {
  /** By path. */
  const loaded = new Map<string, LocalTokenizer>();
  channel.answer(LOAD, (path): LoadedTokenizer => {
    try {
      const tokenizer = LocalTokenizer.read(path);
      loaded.set(path, tokenizer);
      return { kind: 'loaded', identity: tokenizer.identity, specials: tokenizer.specials };
    } catch (error) {
      loaded.delete(path);
      return { kind: 'unreadable', reason: messageOf(error) };
    }
  });
  channel.answer(TOKENISE, (job): TextResult => {
    const tokenizer = [...loaded.values()].find(({ identity }) => identity === job.identity);
    if (!tokenizer) return { kind: 'failed', reason: 'the tokenizer is not loaded, or is another one now' };
    return tokenizer.tokensOf(job);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
