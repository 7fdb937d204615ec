import { bomLength, scanMembers } from '../api/json-scan.ts';

/**
 * Members of requests that change nothing about the tokens of the prompt. What is not known is kept: to ask for the same tokens
 * twice costs little, to take others for them would cost a cache hit.
 */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  // Whom it goes to, and how the answer comes.
  ...['model', 'stream', 'stream_options', 'stream_interval', 'user', 'metadata', 'request_id', 'session_id'],
  ...['session_params', 'user_id', 'store', 'background', 'priority', 'service_tier', 'nvext', 'include'],
  // vLLM keys its cache by the salt, not the tokens; the chain of blocks has it.
  ...['cache_salt', 'kv_transfer_params', 'ec_transfer_params', 'vllm_xargs', 'safety_identifier'],
  // How long the answer may be, and how its tokens are chosen.
  ...['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'max_new_tokens', 'min_tokens', 'n'],
  ...[
    'best_of',
    'use_beam_search',
    'temperature',
    'top_p',
    'top_k',
    'min_p',
    'seed',
    'stop',
    'stop_sequences',
  ],
  ...['stop_token_ids', 'ignore_eos', 'presence_penalty', 'frequency_penalty', 'repetition_penalty'],
  ...[
    'length_penalty',
    'logit_bias',
    'allowed_token_ids',
    'bad_words',
    'parallel_tool_calls',
    'watermarking',
  ],
  ...[
    'structured_outputs',
    'guided_json',
    'guided_regex',
    'guided_choice',
    'guided_grammar',
    'prompt_cache_key',
  ],
  ...['logprobs', 'top_logprobs', 'prompt_logprobs', 'logprob_token_ids', 'return_token_ids', 'echo'],
  ...['return_tokens_as_token_ids', 'include_stop_str_in_output', 'skip_special_tokens', 'include_reasoning'],
  ...['spaces_between_special_tokens', 'return_prompt_text', 'repetition_detection'],
]);

/**
 * What of a request's body decides its tokens, as a JSON object of the same members in the order of their names, byte for byte as they
 * came: a number that JSON has in several spellings is shown to the model as it was spelt. Undefined for what is no JSON object.
 */
export function tokenMembers(body: Buffer): Buffer | undefined {
  const bytes = body.subarray(bomLength(body));
  const members = scanMembers(bytes);
  if (!members) return undefined;
  // Of two with one name the last one counts.
  const kept = new Map(members.map((member) => [member.key, member]));
  for (const key of WITHOUT_EFFECT) kept.delete(key);
  const parts: Buffer[] = [];
  for (const [key, { start, end }] of [...kept].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    parts.push(Buffer.from(`${parts.length === 0 ? '{' : ','}${JSON.stringify(key)}:`));
    parts.push(bytes.subarray(start, end));
  }
  parts.push(Buffer.from(parts.length === 0 ? '{}' : '}'));
  return Buffer.concat(parts);
}
