import type { Fields } from './fields.ts';
import { outputText, type Planned } from './output.ts';
import type { ToolCall } from './tools.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'cancelled';

/** One response: what was asked, what is being said, how far it is. */
export interface StoredResponse {
  readonly id: string;
  readonly itemId: string;
  readonly createdAt: number;
  readonly model: string;
  readonly body: Fields;
  readonly inputItems: readonly unknown[];
  /** The conversation up to here, as chat messages. */
  readonly messages: readonly unknown[];
  readonly plan: Planned;
  readonly tool: ToolCall | undefined;
  status: ResponseStatus;
  usage: object | null;
  kvParams: object | null;
  /** Background only: stops the work. */
  cancel: (() => void) | undefined;
}

export function outputItem(response: StoredResponse, status: 'in_progress' | 'completed'): object {
  const text = status === 'completed' ? outputText(response.plan.output) : '';
  const { itemId: id, tool } = response;
  if (tool)
    return {
      id,
      type: 'function_call',
      call_id: `call_${id.slice(3)}`,
      name: tool.name,
      arguments: text,
      status,
    };
  const content =
    status === 'completed' ? [{ type: 'output_text', text, annotations: [], logprobs: null }] : [];
  return { id, type: 'message', role: 'assistant', status, content };
}

export function responseObject(response: StoredResponse): object {
  const { body, status } = response;
  const done = status === 'completed' || status === 'incomplete';
  return {
    id: response.id,
    object: 'response',
    created_at: response.createdAt,
    status,
    model: response.model,
    output: done ? [outputItem(response, 'completed')] : [],
    usage: response.usage,
    kv_transfer_params: response.kvParams,
    background: body['background'] ?? false,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null,
    metadata: body['metadata'] ?? null,
    parallel_tool_calls: true,
    previous_response_id: body['previous_response_id'] ?? null,
    temperature: body['temperature'] ?? 1,
    tool_choice: body['tool_choice'] ?? 'auto',
    tools: body['tools'] ?? [],
    top_p: body['top_p'] ?? 1,
    truncation: 'disabled',
  };
}
