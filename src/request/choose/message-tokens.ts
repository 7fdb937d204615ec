import { inPieces } from '../../base/in-pieces.ts';
import { parseJson } from '../../api/python-json.ts';
import { isObject } from '../../api/prompt-sink.ts';
import { readTokenPrompt, type TokenRoute } from '../../tokenize/token-prompt.ts';
import type { Endpoint } from '../arrive/endpoints.ts';
import type { Runtime } from '../runtime.ts';
import { translating } from '../send/translate-request.ts';
import type { Call } from '../understand/read-call.ts';

/** A prompt in the words in which its tokens are asked for. */
export interface Worded {
  readonly route: TokenRoute;
  readonly body: Buffer;
  readonly renderOnly: boolean;
}

/** Whether the model's workers are sent a message as a chat, as far as is known. */
export function isChatHere(rt: Runtime, { route, translated }: Endpoint, { model }: Call): boolean {
  const { settings, registry, ownRoutes } = rt;
  if (translated?.as !== 'message' || settings.anthropic === 'pass') return false;
  if (settings.anthropic === 'translate') return true;
  const { members } = registry.membersFor(model);
  return members.some((worker) => ownRoutes.has(worker, route, rt.versionOf(worker)) === false);
}

/** Of the chat that a message comes to; undefined where it comes to none. */
export async function asChat(rt: Runtime, body: Buffer): Promise<Worded | undefined> {
  try {
    const chat = await inPieces(translating(body, 'message'));
    const said = parseJson(chat.toString('utf8'));
    const prompt = isObject(said) ? readTokenPrompt('chat', said, rt.settings.tokens) : undefined;
    return prompt?.kind === 'text' ? { route: 'chat', body: chat, renderOnly: prompt.renderOnly } : undefined;
  } catch {
    // Whoever is sent it says what is wrong.
    return undefined;
  }
}
