import { CHAT_FEATURES } from '../../src/tokenize/local/local-chat.ts';
import { LocalTokenizer } from '../../src/tokenize/local/local-tokenizer.ts';
import { startScriptedWorker, type ScriptedWorker } from './scripted-worker.ts';

/** A worker with that tokenizer, which answers `/tokenize`, and chats without saying anything. */
export function startTokenizingWorker(folder: string): Promise<ScriptedWorker> {
  const tokenizer = LocalTokenizer.read(folder);
  return startScriptedWorker((response, { method, url, body }) => {
    if (method === 'GET') {
      response.writeHead(404).end();
      return;
    }
    const members = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    const isChat = 'messages' in members;
    const result = tokenizer.tokensOf({
      ...{ identity: '', members: body, format: 'string', features: CHAT_FEATURES },
      route: isChat ? 'chat' : 'completion',
    });
    const tokens = result.kind === 'ids' ? [...result.ids] : undefined;
    const answer =
      url === '/tokenize'
        ? tokens && { count: tokens.length, tokens }
        : url.endsWith('/render')
          ? undefined
          : { id: 'x', choices: [], usage: { prompt_tokens: tokens?.length ?? 1, completion_tokens: 1 } };
    const status = answer ? 200 : url === '/tokenize' ? 400 : 404;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { detail: 'Not Found' }));
  });
}
