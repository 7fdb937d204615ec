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

/** @param path One of `tokenPaths`. */
export function tokenRequest(path: string, { model, route, members }: TokenQuestion): TokenRequest {
  const name = `"model":${JSON.stringify(model)}`;
  if (path === TOKENIZE_PATH) {
    const moved = route === 'chat' ? movedToTemplate(members) : undefined;
    return {
      path,
      body: moved === undefined ? withMembers(name, members) : Buffer.from(`{${name},${moved}`),
    };
  }
  // Anthropic's API wants a limit, which changes nothing here.
  const limit = route === 'messages' ? ',"max_tokens":1' : '';
  return { path, body: withMembers(name + limit, members) };
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

/** More than any model takes. */
const MOST_IDS = 4 * 1024 * 1024;

/** The ids in an answer of one of these routes; undefined where there is not one list of them. */
export function idsOfAnswer(body: Buffer): Uint32Array | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (Array.isArray(answer)) answer = answer.length === 1 ? answer[0] : undefined;
  if (!isObject(answer) || (answer['features'] ?? null) !== null) return undefined;
  const ids = answer['tokens'] ?? answer['token_ids'];
  if (!Array.isArray(ids) || ids.length > MOST_IDS) return undefined;
  return ids.every(isId) ? Uint32Array.from(ids) : undefined;
}

function isId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < 2 ** 32;
}

/** Whether the server has no such route, rather than no such model. */
export function isUnoffered(status: number, body: Buffer): boolean {
  // vLLM refuses its render routes with 403 where it runs without --enable-scale-out.
  if (status === 403 || status === 405 || status === 501) return true;
  if (status !== 404) return false;
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return !isObject(answer) || !isObject(answer['error']);
  } catch {
    return true;
  }
}
