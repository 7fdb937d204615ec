import { AZURE_BLOCK_TOKENS, azureReader } from './azure.ts';
import { readContents } from './contents.ts';
import { LineSplitter, MOST_LINE_BYTES } from './line-splitter.ts';
import { MOONCAKE_BLOCK_TOKENS, parseMooncakeLine } from './mooncake.ts';
import { readShareGpt } from './sharegpt.ts';
import type { Trace, TraceRequest } from './trace.ts';

/** What is wrong in one line of a file; lines count from 1. */
export interface LineProblem {
  readonly line: number;
  readonly message: string;
}

export interface ReadTrace {
  readonly trace: Trace;
  /** Lines that were left out, and what was set right. At most `MOST_PROBLEMS` are kept. */
  readonly problems: readonly LineProblem[];
  readonly problemCount: number;
}

export const TRACE_FORMATS = ['mooncake', 'azure', 'sharegpt'] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

/** Longer silences are told of: a trace may have been cut there. */
const LONG_GAP_MS = 10 * 60_000;
export const MOST_PROBLEMS = 100;

/** By the ending of the name: `.jsonl` is Mooncake's format, `.csv` Azure's, `.json` ShareGPT's; `.gz` may follow. */
export function guessFormat(path: string): TraceFormat | undefined {
  const name = path.replace(/\.gz$/, '');
  if (name.endsWith('.jsonl')) return 'mooncake';
  if (name.endsWith('.csv')) return 'azure';
  return name.endsWith('.json') ? 'sharegpt' : undefined;
}

class Problems {
  readonly list: LineProblem[] = [];
  count = 0;

  add(line: number, message: string): void {
    this.count += 1;
    if (this.list.length < MOST_PROBLEMS) this.list.push({ line, message });
  }
}

/**
 * Reads a trace file. What cannot be read is left out and told, requests that are out of order are put in order.
 * Rejects with the system's error when the file cannot be read.
 */
export async function readTrace(path: string, format: TraceFormat, seed: number): Promise<ReadTrace> {
  const problems = new Problems();
  const onProblem = (line: number, message: string): void => {
    problems.add(line, message);
  };
  const trace =
    format === 'sharegpt'
      ? await readShareGpt(path, seed, onProblem)
      : await readLines(path, format, onProblem);
  return {
    trace: { name: path.split('/').at(-1) ?? path, ...trace },
    problems: problems.list,
    problemCount: problems.count,
  };
}

type LineReader = (line: string) => TraceRequest | string | undefined;

async function readLines(
  path: string,
  format: 'mooncake' | 'azure',
  onProblem: (line: number, message: string) => void,
): Promise<Pick<Trace, 'requests' | 'blockSize'>> {
  const requests: TraceRequest[] = [];
  const parse: LineReader = format === 'mooncake' ? parseMooncakeLine : azureReader();
  let latest = -Infinity;
  let ordered = true;
  const onLine = (line: string, number: number): void => {
    if (line.trim() === '') return;
    const request = parse(line);
    if (request === undefined) return;
    if (typeof request === 'string') {
      onProblem(number, request);
      return;
    }
    if (request.at < latest) {
      ordered = false;
      onProblem(number, `out of order: it came ${Math.round(latest - request.at)} ms before one above`);
    } else if (Number.isFinite(latest) && request.at - latest > LONG_GAP_MS) {
      onProblem(number, `a gap of ${Math.round((request.at - latest) / 1000)} s before it`);
    }
    latest = Math.max(latest, request.at);
    requests.push(request);
  };
  const lines = new LineSplitter(onLine, (number) => {
    onProblem(number, `longer than ${String(MOST_LINE_BYTES)} bytes`);
  });
  const broken = await readContents(path, (piece) => {
    lines.take(piece);
  });
  const { number } = lines;
  lines.end();
  if (broken !== undefined) onProblem(number, `the compressed file breaks off here: ${broken}`);
  if (!ordered) requests.sort((left, right) => left.at - right.at);
  const blockSize = format === 'mooncake' ? MOONCAKE_BLOCK_TOKENS : AZURE_BLOCK_TOKENS;
  return { requests: fromZero(requests), blockSize };
}

function fromZero(requests: readonly TraceRequest[]): readonly TraceRequest[] {
  const first = requests[0]?.at ?? 0;
  return first === 0 ? requests : requests.map((request) => ({ ...request, at: request.at - first }));
}
