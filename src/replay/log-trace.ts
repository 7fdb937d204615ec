import type { LogRecord } from '../decisions/log-record.ts';
import { NO_BLOCKS, type PromptBlocks } from '../routing/blocks.ts';
import { PromptHasher } from '../routing/prompt-hash.ts';
import type { TraceRequest } from '../simulate/traces/trace.ts';
import { Conversations } from './conversations.ts';

/** A request that went to a worker, as it was and as it is told to policies again. Times in ms. */
export interface Replayed {
  readonly record: LogRecord;
  /** Index into `ReplayLog.workers`. */
  readonly worker: number;
  readonly request: TraceRequest;
  /** From the dispatch; NaN where it is not known. */
  readonly ttftMs: number;
  readonly e2eMs: number;
  /** Whether an engine computed it to the end: what the worker model is made of. */
  readonly modelled: boolean;
}

export interface ReplayLog {
  readonly workers: readonly string[];
  /** In the order in which they were sent to workers. */
  readonly requests: readonly Replayed[];
  /** Tokens of a block. */
  readonly blockSize: number;
  /** Of the modelled ones, those whose blocks are known; the others are taken to share nothing. */
  readonly withBlocks: number;
  readonly modelled: number;
}

const DEFAULT_BLOCK_TOKENS = 512;
const CHARS_PER_TOKEN = 4;

/**
 * What can be replayed of the records, in order: those that went to a worker chosen by a policy, which did all of it. One that was split
 * says neither how long its prompt would have taken where it was answered, nor where a policy would have put the whole of it.
 */
export function logTrace(records: readonly LogRecord[]): ReplayLog {
  const sent = records.filter(
    ({ worker, method, split }) => worker !== undefined && method !== 'owner' && !split,
  );
  const names = new Set(
    sent.flatMap(({ worker, candidates }) => (worker === undefined ? candidates : [worker, ...candidates])),
  );
  const workers = [...names].sort();
  const places = new Map(workers.map((name, index) => [name, index]));
  const blockSize = Math.max(1, Math.round(medianOf(sent.flatMap(({ blockTokens }) => blockTokens ?? []))));
  const size = blockSize > 1 ? blockSize : DEFAULT_BLOCK_TOKENS;
  const first = sent.reduce((least, record) => Math.min(least, dispatchedAt(record)), Infinity);
  const conversations = new Conversations();
  const requests = sent
    .toSorted((left, right) => dispatchedAt(left) - dispatchedAt(right))
    .map((record): Replayed => {
      const blocks = blocksOf(record, size);
      const before = record.totalMs - (record.lastAttemptMs ?? record.totalMs);
      const promptTokens = Math.max(1, blocks.totalTokens);
      return {
        record,
        worker: places.get(record.worker ?? '') ?? -1,
        request: {
          at: dispatchedAt(record) - first,
          promptTokens,
          outputTokens: record.completionTokens ?? 0,
          blocks,
          session: conversations.of(blocks),
        },
        ttftMs: record.stream && record.ttftMs !== undefined ? Math.max(0, record.ttftMs - before) : NaN,
        e2eMs: record.totalMs - before,
        modelled: isModelled(record),
      };
    });
  const modelled = requests.filter((one) => one.modelled);
  const withBlocks = modelled.filter(({ request }) => request.blocks.count > 0).length;
  return { workers, requests, blockSize: size, withBlocks, modelled: modelled.length };
}

function isModelled({ status, outcome, promptTokens = 0 }: LogRecord): boolean {
  return promptTokens > 0 && status >= 200 && status < 300 && (outcome === undefined || outcome === 'ok');
}

function dispatchedAt({ arrivedAt, totalMs, lastAttemptMs = totalMs }: LogRecord): number {
  return arrivedAt + Math.max(0, totalMs - lastAttemptMs);
}

/** The blocks as they were recorded, or made from the text where that was; lengths from the worker where it told them. */
function blocksOf(record: LogRecord, blockSize: number): PromptBlocks {
  const { blockHashes, blockTokens = blockSize, promptTokens, requestText } = record;
  if (blockHashes === undefined) {
    if (requestText !== undefined && requestText !== '') return fromText(requestText, promptTokens);
    return { ...NO_BLOCKS, totalTokens: promptTokens ?? 0 };
  }
  const totalTokens = promptTokens ?? (blockHashes.length / 2) * blockTokens;
  const count = Math.min(blockHashes.length / 2, Math.floor(totalTokens / blockSize));
  return {
    ...{ count, tokensPerBlock: blockSize, totalTokens, estimated: false },
    hashes: blockHashes.subarray(0, 2 * count),
  };
}

function fromText(text: string, promptTokens: number | undefined): PromptBlocks {
  const hasher = new PromptHasher();
  hasher.text(text);
  const blocks = hasher.finish({ charsPerToken: CHARS_PER_TOKEN });
  return { ...blocks, totalTokens: promptTokens ?? blocks.totalTokens };
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] ?? DEFAULT_BLOCK_TOKENS;
}
