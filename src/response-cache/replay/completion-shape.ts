import type { AnswerShape } from './answer-shape.ts';
import { shapeOf } from './choices.ts';
import { areTexts, listOf, only, textOf } from './members.ts';

const CHOICE = ['index', 'text', 'logprobs', 'finish_reason', 'stop_reason'];
const LOGPROBS = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const;

interface Choice {
  readonly texts: string[];
  readonly logprobs: Map<string, unknown[]>;
}

/** `/v1/completions`, as vLLM 0.32 answers it. */
export const completionShape: AnswerShape = shapeOf<Choice>({
  whole: 'text_completion',
  event: 'text_completion',
  members: ['text', 'logprobs'],
  parts(value) {
    const choice = only(value, CHOICE);
    if (!choice || !areTexts(choice, ['text'])) return undefined;
    const { index, text, logprobs = null, finish_reason: reason, stop_reason: stop = null } = choice;
    return [{ index, text, logprobs, finish_reason: reason, stop_reason: stop }];
  },
  begin: () => ({ texts: [], logprobs: new Map() }),
  add(choice, part) {
    if (!areTexts(part, ['text'])) return false;
    const text = textOf(part['text']);
    if (text !== '') choice.texts.push(text);
    return addLogprobs(choice, part['logprobs']);
  },
  tell: ({ texts, logprobs }) => ({
    text: texts.join(''),
    logprobs: logprobs.size > 0 ? Object.fromEntries(logprobs) : null,
  }),
});

function addLogprobs({ logprobs }: Choice, value: unknown): boolean {
  if (value === null || value === undefined) return true;
  const known = only(value, LOGPROBS);
  if (!known) return false;
  for (const name of LOGPROBS) {
    const list = listOf(known[name]);
    if (!list) continue;
    const all = logprobs.get(name);
    if (all) all.push(...list);
    else logprobs.set(name, [...list]);
  }
  return true;
}
