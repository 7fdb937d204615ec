import type { JsonObject } from '../../api/prompt-sink.ts';
import { RouterError } from '../../base/errors.ts';
import { bringsTemplate } from '../../tokenize/token-prompt.ts';
import type { Endpoint } from '../arrive/endpoints.ts';
import type { Runtime } from '../runtime.ts';

/**
 * A chat template is a program, and a worker runs it. As vLLM does, one of a request is refused (`untrusted_chat_template`) unless
 * somebody said that requests may bring theirs.
 */
export function refuseTemplate(
  { settings }: Runtime,
  { endpoint }: { readonly endpoint: Endpoint },
  fields: JsonObject,
): void {
  if (settings.tokens.trustChatTemplates || !hasTemplate(endpoint) || !bringsTemplate(fields)) return;
  throw new RouterError(
    'untrusted_chat_template',
    'The request brings a chat template, and trust_request_chat_template is not set.',
    { param: 'chat_template' },
  );
}

function hasTemplate({ tokenRoute }: Endpoint): boolean {
  return tokenRoute === 'chat' || tokenRoute === 'messages' || tokenRoute === 'responses';
}
