import { randomInt, seededRandom, type Random } from '../../src/base/random.ts';
import { MODEL } from './vllm-server.ts';
import { prose } from './text.ts';

export interface ChatLoad {
  readonly conversations: number;
  /** Questions of each. */
  readonly turns: number;
  /** Conversations that are under way at once. */
  readonly atOnce: number;
  readonly maxTokens: number;
  readonly seed: number;
}

interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

const SYSTEM_WORDS = 120;
const LEAST_WORDS = 10;
const MOST_WORDS = 90;

/**
 * Chats that grow by turns, each behind one of two system prompts, so that they share beginnings with others and with themselves.
 * `onAnswered` is told of the id of each request, and waited for.
 */
export async function runChats(
  url: string,
  { conversations, turns, atOnce, maxTokens, seed }: ChatLoad,
  onAnswered: (requestId: string) => Promise<void> | void,
): Promise<void> {
  const random = seededRandom(seed);
  const systems = [prose(random, SYSTEM_WORDS), prose(random, SYSTEM_WORDS)];
  const waiting = Array.from({ length: conversations }, (_, index) => ({
    system: systems[index % systems.length] ?? '',
    random: seededRandom(seed * 1000 + index),
  }));
  const takeTurns = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const messages: Message[] = [{ role: 'system', content: next.system }];
      for (let turn = 0; turn < turns; turn += 1) {
        messages.push({ role: 'user', content: question(next.random) });
        const { id, content } = await ask(url, { model: MODEL, messages, max_tokens: maxTokens });
        messages.push({ role: 'assistant', content });
        await onAnswered(id);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, takeTurns));
}

function question(random: Random): string {
  return prose(random, LEAST_WORDS + randomInt(random, MOST_WORDS - LEAST_WORDS));
}

async function ask(url: string, body: object): Promise<{ id: string; content: string }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`status ${String(response.status)}: ${text.slice(0, 200)}`);
  // vLLM's own answer.
  const answer = JSON.parse(text) as { choices: { message: { content: string | null } }[] };
  const id = response.headers.get('x-request-id');
  if (id === null) throw new Error('the answer has no request id');
  return { id, content: answer.choices[0]?.message.content ?? '' };
}
