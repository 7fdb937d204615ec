import type { QuestionKind } from '../../base/channel.ts';
import type { ChatFeature, ContentFormat } from './local-chat.ts';

/** What is loaded under a path. `specials`: some tokens that mean something to it, for trying. */
export type LoadedTokenizer =
  | { readonly kind: 'loaded'; readonly identity: string; readonly specials: readonly string[] }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** One prompt to be tokenised. */
export interface TextJob {
  /** Of a tokenizer that was loaded before. */
  readonly identity: string;
  readonly route: 'chat' | 'completion';
  /** `tokenMembers` of the request. */
  readonly members: Uint8Array;
  readonly format: ContentFormat;
  /** Chats with others are not done. */
  readonly features: readonly ChatFeature[];
}

/** `unsure`: vLLM may do it otherwise. `failed`: the template or the tokenizer did. */
export type TextResult =
  | { readonly kind: 'ids'; readonly ids: Uint32Array }
  | { readonly kind: 'unsure' | 'failed'; readonly reason: string };

/** To the text thread: read what lies there, now. */
export const LOAD: QuestionKind<string, LoadedTokenizer> = { name: 'text.load' };
export const TOKENISE: QuestionKind<TextJob, TextResult> = { name: 'text.tokenise' };
