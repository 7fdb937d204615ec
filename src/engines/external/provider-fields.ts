import type { Pieces } from '../../base/in-pieces.ts';
import { editingMembers, editMembers, type MemberEdit } from '../../api/member-edit.ts';

/**
 * Members of a request that vLLM knows and OpenAI's API does not: a provider refuses them with 400 as a rule. Those of
 * SGLang among them, which clients of other routers send. What OpenAI has itself (`seed`, `logit_bias`, `reasoning_effort`,
 * `parallel_tool_calls`, ...) is in no list, nor what nobody knows: that the provider is to judge.
 */
const SAMPLING = [
  ...['top_k', 'min_p', 'repetition_penalty', 'length_penalty', 'use_beam_search', 'min_tokens'],
  ...['stop_token_ids', 'include_stop_str_in_output', 'ignore_eos', 'skip_special_tokens'],
  ...['spaces_between_special_tokens', 'truncate_prompt_tokens', 'truncation_side', 'prompt_logprobs'],
  ...['allowed_token_ids', 'bad_words', 'logits_processors', 'thinking_token_budget', 'repetition_detection'],
];
const PROMPT = [
  ...['add_generation_prompt', 'continue_final_message', 'add_special_tokens', 'documents'],
  ...['chat_template', 'chat_template_kwargs', 'media_io_kwargs', 'mm_processor_kwargs'],
];
const STRUCTURE = [
  ...[
    'structured_outputs',
    'structural_tag',
    'guided_json',
    'guided_regex',
    'guided_choice',
    'guided_grammar',
  ],
  ...['guided_decoding_backend', 'guided_whitespace_pattern', 'guided_decoding_disable_any_whitespace'],
];
const SERVING = [
  ...['priority', 'request_id', 'cache_salt', 'session_id', 'kv_transfer_params', 'ec_transfer_params'],
  ...['vllm_xargs', 'return_tokens_as_token_ids', 'return_token_ids', 'include_reasoning'],
  ...['enable_response_messages', 'previous_input_messages'],
];
const EMBEDDING = ['normalize', 'softmax', 'activation', 'use_activation', 'embed_dtype', 'endianness'];
const SGLANG = [
  ...[
    'regex',
    'ebnf',
    'no_stop_trim',
    'lora_path',
    'session_params',
    'separate_reasoning',
    'stream_reasoning',
  ],
  ...['return_hidden_states', 'rid', 'additional_data', 'data_parallel_rank'],
  ...['bootstrap_host', 'bootstrap_port', 'bootstrap_room'],
];
const EVERYWHERE = [...SAMPLING, ...PROMPT, ...STRUCTURE, ...SERVING, ...EMBEDDING, ...SGLANG];

/** OpenAI has these in completions, vLLM in chats too. */
const NOT_OF_CHATS = ['echo', 'best_of'];

/** The fields that providers do not know, by route. */
export function unsupportedFields(route: string): readonly string[] {
  return route === '/v1/completions' ? EVERYWHERE : [...EVERYWHERE, ...NOT_OF_CHATS];
}

/** What goes to a provider in place of the client's body. */
export interface ProviderBody {
  readonly bytes: Buffer;
  /** What was left out, each name once, in the order of the body. */
  readonly removed: readonly string[];
}

export interface ProviderTerms {
  readonly route: string;
  /** The provider's name of the model; undefined: the body names none that it would go by. */
  readonly model: string | undefined;
  /** Of the fields that providers do not know, those that this one does. */
  readonly keepFields: readonly string[];
}

/**
 * The body under the provider's name of the model and without what only vLLM knows, every other byte as it was; undefined
 * where it is no JSON object. It yields after every piece of a long one: others may get their turn.
 */
export function* makingProviderBody(
  body: Buffer,
  { route, model, keepFields }: ProviderTerms,
): Pieces<ProviderBody | undefined> {
  const removed: string[] = [];
  const note = (name: string): 'gone' => {
    if (!removed.includes(name)) removed.push(name);
    return 'gone';
  };
  const edits: MemberEdit[] = unsupportedFields(route)
    .filter((name) => !keepFields.includes(name))
    .map((name) => ({ key: name, there: () => note(name) }));
  if (model !== undefined) {
    const named = Buffer.from(JSON.stringify(model));
    edits.push({ key: 'model', there: () => named, absent: named });
  }
  edits.push({ key: 'stream_options', there: (value) => withoutUsageOfEach(value, note) });
  const bytes = yield* editingMembers(body, edits);
  return bytes && { bytes, removed };
}

const USAGE_OF_EACH = 'continuous_usage_stats';

function withoutUsageOfEach(value: Buffer, note: (name: string) => 'gone'): Buffer | undefined {
  return editMembers(value, [{ key: USAGE_OF_EACH, there: () => note(`stream_options.${USAGE_OF_EACH}`) }]);
}
