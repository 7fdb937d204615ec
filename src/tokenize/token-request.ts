import { isObject } from '../api/prompt-sink.ts';
import { parseJson } from '../api/python-json.ts';
import { templateArguments } from './template-arguments.ts';
import type { TokenRoute } from './token-prompt.ts';
import type { TokenQuestion } from './tokens.ts';

/** What a worker is asked. */
export interface TokenRequest {
  readonly path: string;
  readonly body: Buffer;
}

/** Knows chats and single prompts, and is what older servers have. */
const TOKENIZE_PATH = '/tokenize';

/** vLLM's routes that do with a request what the route itself would, up to its tokens. */
const RENDER_PATHS: Readonly<Partial<Record<TokenRoute, string>>> = {
  chat: '/v1/chat/completions/render',
  completion: '/v1/completions/render',
  messages: '/v1/messages/render',
  responses: '/v1/responses/render',
};

/** The routes of a worker that answer the question, the best one first. */
export function tokenPaths({ route, renderOnly }: TokenQuestion): readonly string[] {
  const render = RENDER_PATHS[route];
  const tokenize = (route === 'chat' || route === 'completion') && !renderOnly ? [TOKENIZE_PATH] : [];
  return render === undefined ? tokenize : [render, ...tokenize];
}

/**
 * Undefined where the request cannot be written: JSON is read to any depth, but written by recursion.
 * @param path One of `tokenPaths`.
 */
export function tokenRequest(path: string, question: TokenQuestion): TokenRequest | undefined {
  try {
    return { path, body: bodyFor(path, question) };
  } catch {
    return undefined;
  }
}

function bodyFor(path: string, { model, route, members }: TokenQuestion): Buffer {
  const name = `"model":${JSON.stringify(model)}`;
  if (path === TOKENIZE_PATH) {
    const moved = route === 'chat' ? movedToTemplate(members) : undefined;
    return moved === undefined ? withMembers(name, members) : Buffer.from(`{${name},${moved}`);
  }
  // Anthropic's API wants a limit, which changes nothing here.
  const limit = route === 'messages' ? ',"max_tokens":1' : '';
  return withMembers(name + limit, members);
}

/** More members in front of those that there are. */
function withMembers(more: string, members: Uint8Array): Buffer {
  const rest = Buffer.from(members.buffer, members.byteOffset, members.length).subarray(1);
  const comma = rest.length > 1 ? ',' : '';
  return Buffer.concat([Buffer.from(`{${more}${comma}`), rest]);
}

/**
 * What a chat gives its template beside messages and tools has another place in `/tokenize` (vLLM's `build_chat_params` does the
 * same with it). The members behind the brace; undefined where there is nothing of the kind.
 */
function movedToTemplate(members: Uint8Array): string | undefined {
  const json = Buffer.from(members.buffer, members.byteOffset, members.length);
  if (!json.includes('"documents":') && !json.includes('"reasoning_effort":')) return undefined;
  const chat = parseJson(json.toString('utf8'));
  if (!isObject(chat)) return undefined;
  const { documents: _documents, reasoning_effort: _effort, ...rest } = chat;
  return JSON.stringify({ ...rest, chat_template_kwargs: templateArguments(chat) }).slice(1);
}
