import { badRequest } from './api-error.ts';
import { arrayField, isFields, type Fields } from './fields.ts';

export interface ToolCall {
  readonly name: string;
  readonly argumentsJson: string;
}

/**
 * The tool call that the body forces (`tool_choice: required`, or a named function); undefined when the model may answer
 * in words, which is what the simulated one then does. Understands OpenAI's shapes of both chat and responses.
 */
export function forcedToolCall(body: Fields): ToolCall | undefined {
  const choice = body['tool_choice'];
  if (choice === undefined || choice === null || choice === 'none' || choice === 'auto') return undefined;
  const tools = arrayField(body, 'tools') ?? [];
  if (tools.length === 0) throw badRequest('When using `tool_choice`, `tools` must be set.', 'tool_choice');
  const wanted = choice === 'required' ? undefined : functionName(choice);
  if (choice !== 'required' && wanted === undefined) {
    throw badRequest('tool_choice: expected none, auto, required or a named function', 'tool_choice');
  }
  const tool = tools.find((candidate) => wanted === undefined || functionName(candidate) === wanted);
  const name = functionName(tool);
  if (name === undefined) throw badRequest(`tool_choice: no tool is named ${String(wanted)}`, 'tool_choice');
  return { name, argumentsJson: JSON.stringify(sampleOf(parametersOf(tool))) };
}

function functionName(value: unknown): string | undefined {
  if (!isFields(value)) return undefined;
  const inner = isFields(value['function']) ? value['function'] : value;
  return typeof inner['name'] === 'string' ? inner['name'] : undefined;
}

function parametersOf(tool: unknown): unknown {
  if (!isFields(tool)) return undefined;
  const inner = isFields(tool['function']) ? tool['function'] : tool;
  return inner['parameters'] ?? inner['input_schema'];
}

/** A value that fits a JSON schema, as far as its types, enums and required properties go. */
export function sampleOf(schema: unknown, depth = 0): unknown {
  if (!isFields(schema) || depth > 8) return {};
  const allowed = schema['enum'];
  if (Array.isArray(allowed) && allowed.length > 0) return allowed[0];
  switch (schema['type']) {
    case 'string':
      return 'fox';
    case 'integer':
    case 'number':
      return 7;
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'array':
      return [sampleOf(schema['items'], depth + 1)];
    default: {
      const properties = isFields(schema['properties']) ? schema['properties'] : {};
      const entries = Object.entries(properties).map(
        ([name, inner]) => [name, sampleOf(inner, depth + 1)] as const,
      );
      return Object.fromEntries(entries);
    }
  }
}
