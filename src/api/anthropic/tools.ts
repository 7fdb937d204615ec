import { isObject, plain, type JsonObject } from '../prompt-sink.ts';
import { isGiven, nameOf, typeOf } from './content.ts';
import type { Refuse } from './untranslatable.ts';

/** Undefined where there are none. */
export function chatTools(given: unknown, refuse: Refuse): readonly object[] | undefined {
  const tools = plain(given);
  if (!isGiven(tools)) return undefined;
  if (!Array.isArray(tools)) {
    refuse('tools', 'expected a list of tools');
    return undefined;
  }
  if (tools.length === 0) return undefined;
  return (tools as unknown[]).map((tool, index) => chatTool(tool, `tools.${index}`, refuse));
}

function chatTool(tool: unknown, field: string, refuse: Refuse): object {
  if (!isObject(tool)) {
    refuse(field, 'expected a tool');
    return {};
  }
  const type = typeOf(tool);
  if (type !== '' && type !== 'custom') {
    refuse(`${field}.type`, `${nameOf(tool)} is known to Anthropic's own service alone`);
    return tool;
  }
  const { name, description, input_schema: schema, strict } = tool;
  if (typeof plain(name) !== 'string') refuse(`${field}.name`, 'expected a string');
  if (!isObject(schema)) refuse(`${field}.input_schema`, 'expected a JSON schema');
  return {
    type: 'function',
    function: {
      name,
      ...(isGiven(description) && { description }),
      parameters: isObject(schema) && !('type' in schema) ? { type: 'object', ...schema } : schema,
      ...(isGiven(strict) && { strict }),
    },
  };
}

/** The members of a chat that say which tools are to be used, and how many at once. */
export function toolChoice(choice: unknown, hasTools: boolean, refuse: Refuse): JsonObject {
  if (!isGiven(choice)) return {};
  if (!isObject(choice)) {
    refuse('tool_choice', 'expected an object');
    return {};
  }
  const chosen = chosenTool(choice, refuse);
  // A chat may not speak of tools that there are not.
  if (!hasTools) {
    if (chosen !== 'auto' && chosen !== 'none') refuse('tool_choice', 'there are no tools to choose from');
    return {};
  }
  const isSingle = plain(choice['disable_parallel_tool_use']) === true;
  return { tool_choice: chosen, ...(isSingle && { parallel_tool_calls: false }) };
}

function chosenTool(choice: JsonObject, refuse: Refuse): unknown {
  switch (typeOf(choice)) {
    case 'auto':
      return 'auto';
    case 'any':
      return 'required';
    case 'none':
      return 'none';
    case 'tool': {
      const name = plain(choice['name']);
      if (typeof name !== 'string') refuse('tool_choice.name', 'expected the name of a tool');
      return { type: 'function', function: { name } };
    }
    default:
      refuse('tool_choice.type', 'expected auto, any, tool or none');
      return 'auto';
  }
}
