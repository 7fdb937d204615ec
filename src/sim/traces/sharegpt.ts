import { seededRandom } from '../../base/random.ts';
import { PromptHasher, TOKENS_PER_BLOCK } from '../../routing/prompt-hash.ts';
import { drawExponential } from './draw.ts';
import type { Trace, TraceRequest } from './trace.ts';

export const SHAREGPT_BLOCK_TOKENS = TOKENS_PER_BLOCK;

const CHARS_PER_TOKEN = 4;
const MOST_BYTES = 1024 * 1024 * 1024;
/** It has no times: conversations begin at random at this rate, and people think this long before they answer. */
const CONVERSATIONS_PER_SECOND = 1;
const THINK_MS = 20_000;
/** What an answer takes before its reader begins to think, ms per token. */
const READ_MS_PER_TOKEN = 30;

interface Turn {
  readonly human: boolean;
  readonly text: string;
}

/**
 * A ShareGPT-style file: a JSON array of `{conversations: [{from, value}, ...]}`. Every human turn becomes a request whose
 * prompt is all turns before it. Tokens are estimated, arrivals are drawn.
 */
export async function readShareGpt(
  input: NodeJS.ReadableStream,
  seed: number,
  onProblem: (line: number, message: string) => void,
): Promise<Pick<Trace, 'requests' | 'blockSize'>> {
  const value = await readJson(input);
  if (!Array.isArray(value)) {
    onProblem(1, value === undefined ? 'not valid JSON' : 'not a JSON array of conversations');
    return { requests: [], blockSize: SHAREGPT_BLOCK_TOKENS };
  }
  const random = seededRandom(seed);
  const requests: TraceRequest[] = [];
  let startMs = 0;
  for (const [index, item] of value.entries()) {
    const turns = turnsOf(item);
    if (typeof turns === 'string') {
      onProblem(index + 1, `conversation ${String(index + 1)}: ${turns}`);
      continue;
    }
    startMs += drawExponential(random, 1000 / CONVERSATIONS_PER_SECOND);
    requests.push(...requestsOf(turns, String(index), startMs, () => drawExponential(random, THINK_MS)));
  }
  requests.sort((left, right) => left.at - right.at);
  return { requests, blockSize: SHAREGPT_BLOCK_TOKENS };
}

async function readJson(input: NodeJS.ReadableStream): Promise<unknown> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of input) {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    size += bytes.length;
    if (size > MOST_BYTES) throw new Error('a ShareGPT file may have at most 1 GiB');
    pieces.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

function turnsOf(item: unknown): readonly Turn[] | string {
  const { conversations } = (typeof item === 'object' && item !== null ? item : {}) as {
    readonly conversations?: unknown;
  };
  if (!Array.isArray(conversations)) return 'no list of conversations';
  const turns: Turn[] = [];
  for (const turn of conversations) {
    const { from, value } = (typeof turn === 'object' && turn !== null ? turn : {}) as Record<
      string,
      unknown
    >;
    if (typeof from !== 'string' || typeof value !== 'string') return 'a turn without from and value';
    turns.push({ human: from === 'human' || from === 'user', text: value });
  }
  return turns;
}

function requestsOf(
  turns: readonly Turn[],
  session: string,
  startMs: number,
  think: () => number,
): TraceRequest[] {
  const requests: TraceRequest[] = [];
  const hasher = new PromptHasher();
  let at = startMs;
  for (const [index, turn] of turns.entries()) {
    hasher.role(turn.human ? 'user' : 'assistant');
    hasher.text(turn.text);
    const answer = turns[index + 1];
    if (!turn.human || answer === undefined || answer.human) continue;
    const blocks = hasher.finish({ charsPerToken: CHARS_PER_TOKEN });
    const outputTokens = Math.max(1, Math.ceil(answer.text.length / CHARS_PER_TOKEN));
    requests.push({ at, promptTokens: Math.max(1, blocks.totalTokens), outputTokens, blocks, session });
    at += outputTokens * READ_MS_PER_TOKEN + think();
  }
  return requests;
}
