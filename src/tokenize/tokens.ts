import type { TokenRoute } from './token-prompt.ts';

/** Where token ids came from that the request did not bring. */
export type FoundBy = 'cache' | 'local' | 'worker';

/**
 * What came of the question for the tokens of a prompt. `late`: the deadline was first. `busy`: too many such questions are under way.
 * `slow`: one of its size has just taken too long. `unoffered`: nobody who could answer is there. `refused`: the prompt is not to a worker's liking. `failed`: whoever was asked could not.
 */
export type TokensFound =
  | { readonly kind: 'found'; readonly ids: Uint32Array; readonly source: FoundBy }
  | { readonly kind: 'late' | 'busy' | 'slow' | 'unoffered' | 'refused' | 'failed' };

/** A prompt whose tokens can be worked out. Can be posted. */
export interface TokenQuestion {
  /** As the worker knows it: an adapter's name, where one is asked for. */
  readonly model: string;
  readonly route: TokenRoute;
  /** `tokenMembers` of the body. */
  readonly members: Uint8Array;
  /** See `TokenPrompt`. */
  readonly renderOnly: boolean;
}

/** Whose tokens were not what they were thought to be. Can be posted. */
export interface DoubtedTokens {
  readonly model: string;
  /** Its id. */
  readonly worker: string;
}

/** Answers which token ids a worker will compute for a request. */
export interface TokenSource {
  /** Never rejects, and resolves within the deadline. */
  tokensFor(question: TokenQuestion): Promise<TokensFound>;
  /** The worker has counted other tokens than were found for a prompt of the model. */
  doubt(doubted: DoubtedTokens): void;
}
