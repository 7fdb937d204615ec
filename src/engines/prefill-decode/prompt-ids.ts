import { appendMembers, type JsonMembers } from '../../api/member-edit.ts';

/** Has a prefill worker say which tokens it made of a chat. */
export const TELL_IDS: JsonMembers = [['return_token_ids', 'true']];

/** 300,000 tokens. A longer prompt is made into tokens once more. */
const MOST_BYTES = 2 * 1024 * 1024;

/**
 * The parameters with the prompt's tokens, which vLLM from 0.32 on takes from there instead of applying its chat template and
 * tokenizer to the chat again (`_reused_prompt_token_ids`); before, they say nothing to it. Without them where `ids`, the value that
 * the prefill worker gave, is no list of token ids: the decode worker would refuse the request for that.
 */
export function withPromptIds(params: Buffer, ids: Buffer | undefined): Buffer {
  if (!ids || ids.length > MOST_BYTES || !isIdList(ids)) return params;
  return appendMembers(params, [['prompt_token_ids', ids]]) ?? params;
}

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;

/** Numbers with one comma between them, in brackets, at least one: as vLLM writes them, without space. */
function isIdList(json: Buffer): boolean {
  const last = json.length - 1;
  if (json[0] !== OPEN || json[last] !== CLOSE) return false;
  let isDue = true;
  for (let at = 1; at < last; at += 1) {
    const byte = json[at] ?? 0;
    if (byte >= ZERO && byte <= NINE) isDue = false;
    else if (byte !== COMMA || isDue) return false;
    else isDue = true;
  }
  return !isDue;
}
