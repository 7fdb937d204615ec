/** What a worker is asked that has no such route of Anthropic's API. */
export interface Translated {
  readonly as: 'message' | 'count';
  readonly path: string;
}

export const AS_CHAT: Translated = { as: 'message', path: '/v1/chat/completions' };
export const AS_COUNT: Translated = { as: 'count', path: '/tokenize' };
