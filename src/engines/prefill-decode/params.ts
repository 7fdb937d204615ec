import type { JsonMembers } from '../../api/member-edit.ts';

/** The field of vLLM's requests and answers in which connectors are told things. */
export const PARAMS = 'kv_transfer_params';

export function params(value: object): JsonMembers {
  return [[PARAMS, JSON.stringify(value)]];
}
