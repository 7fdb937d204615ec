import type { JsonMembers } from '../../api/member-edit.ts';

/**
 * The field in which connectors are told things, and answer. vLLM 0.32 has it at the top level of requests to chats, completions,
 * responses, messages and `/inference/v1/generate`, and of their answers that are not streamed; in events it stands where versions
 * with two-way transfer put it.
 */
export const PARAMS = 'kv_transfer_params';

export function params(value: object): JsonMembers {
  return [[PARAMS, JSON.stringify(value)]];
}
