import type { AnswerShape } from '../../response-cache/replay/answer-shape.ts';
import { chatShape } from '../../response-cache/replay/chat-shape.ts';
import { completionShape } from '../../response-cache/replay/completion-shape.ts';
import type { CachedForm } from '../arrive/endpoints.ts';

/** How the answers of an endpoint are told as streams; undefined: always in one piece. */
export const SHAPES: Readonly<Record<CachedForm, AnswerShape | undefined>> = {
  chat: chatShape,
  completion: completionShape,
  whole: undefined,
};
