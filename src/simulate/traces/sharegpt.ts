import { seededRandom } from '../../base/random.ts';
import { PromptHasher, TOKENS_PER_BLOCK } from '../../routing/prompt-hash.ts';
import { readContents } from './contents.ts';
import { drawExponential } from './draw.ts';
import { jsonItems } from './json-items.ts';
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
  path: string,
  seed: number,
  onProblem: (line: number, message: string) => void,
): Promise<Pick<Trace, 'requests' | 'blockSize'>> {
  const { bytes, broken } = await readAll(path);
  const random = seededRandom(seed);
  const requests: TraceRequest[] = [];
  let startMs = 0;
  let number = 0;
  const items = jsonItems(bytes);
  let item = items.next();
  for (; item.done !== true; item = items.next()) {
    number += 1;
    const { line, text, cut } = item.value;
    const turns = cut ? 'the file ends within it' : parseItem(text);
    if (typeof turns === 'string') {
      if (cut && text.trim() === '') onProblem(line, 'the file ends without the end of its array');
      else onProblem(line, `conversation ${String(number)}: ${turns}`);
      continue;
    }
    startMs += drawExponential(random, 1000 / CONVERSATIONS_PER_SECOND);
    requests.push(...requestsOf(turns, String(number - 1), startMs, () => drawExponential(random, THINK_MS)));
  }
  if (!item.value) onProblem(1, 'not a JSON array of conversations');
  if (broken !== undefined) onProblem(lastLine(bytes), `the compressed file breaks off here: ${broken}`);
  requests.sort((left, right) => left.at - right.at);
  const first = requests[0]?.at ?? 0;
  return {
    requests: requests.map((request) => ({ ...request, at: request.at - first })),
    blockSize: SHAREGPT_BLOCK_TOKENS,
  };
}

async function readAll(
  path: string,
): Promise<{ readonly bytes: Buffer; readonly broken: string | undefined }> {
  const pieces: Buffer[] = [];
  let size = 0;
  const broken = await readContents(path, (piece) => {
    size += piece.length;
    if (size > MOST_BYTES) throw new Error('a ShareGPT file may have at most 1 GiB');
    pieces.push(piece);
  });
  return { bytes: Buffer.concat(pieces), broken };
}

function lastLine(bytes: Buffer): number {
  let lines = 1;
  for (const byte of bytes) if (byte === 10) lines += 1;
  return lines;
}

function parseItem(text: string): readonly Turn[] | string {
  try {
    return turnsOf(JSON.parse(text));
  } catch {
    return 'not valid JSON';
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
