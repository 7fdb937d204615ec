import { createReadStream } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { parseRecord, type LogRecord } from './log-record.ts';

/** A line of a log that cannot be used. */
export interface RecordProblem {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

export interface ReadRecords {
  readonly records: readonly LogRecord[];
  /** The first `MOST_PROBLEMS` of them. */
  readonly problems: readonly RecordProblem[];
  readonly problemCount: number;
  /** Files whose last line is cut, as after a crash; it has been left out. */
  readonly torn: readonly string[];
}

export const MOST_PROBLEMS = 100;
/** Longer lines are no records: whoever reads a wrong file should not run out of memory. */
const LONGEST_LINE = 16 * 1024 * 1024;

/**
 * Reads decision logs, plain or gzipped, of any schema version, one after the other. Lines that cannot be used are left out
 * and told of. Rejects with the system's error where a file cannot be read at all.
 */
export async function readRecords(files: readonly string[]): Promise<ReadRecords> {
  const records: LogRecord[] = [];
  const problems: RecordProblem[] = [];
  const torn: string[] = [];
  let problemCount = 0;
  for (const file of files) {
    const onProblem = (line: number, message: string): void => {
      problemCount += 1;
      if (problems.length < MOST_PROBLEMS) problems.push({ file, line, message });
    };
    let number = 0;
    try {
      for await (const { text, ended } of linesOf(file)) {
        number += 1;
        if (text === undefined) {
          onProblem(number, 'longer than any record');
          continue;
        }
        if (text.trim() === '') continue;
        const record = parseRecord(text);
        if (typeof record !== 'string') records.push(record);
        else if (!ended && record === 'not valid JSON') torn.push(file);
        else onProblem(number, record);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      onProblem(number + 1, `the compressed file is damaged from here on (${error.message})`);
    }
  }
  return { records, problems, problemCount, torn };
}

interface Line {
  /** Undefined where it is too long. */
  readonly text: string | undefined;
  /** Whether a line feed ends it. */
  readonly ended: boolean;
}

async function* linesOf(file: string): AsyncGenerator<Line, void> {
  const decoder = new StringDecoder('utf8');
  let begun = '';
  let tooLong = false;
  for await (const chunk of contentsOf(file)) {
    const pieces = decoder.write(chunk).split('\n');
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) {
        yield { text: tooLong ? undefined : begun, ended: true };
        begun = '';
        tooLong = false;
      }
      if (begun.length + piece.length > LONGEST_LINE) tooLong = true;
      begun = tooLong ? '' : begun + piece;
    }
  }
  if (begun !== '' || tooLong) yield { text: tooLong ? undefined : begun, ended: false };
}

function contentsOf(path: string): NodeJS.ReadableStream {
  const file = createReadStream(path);
  if (!path.endsWith('.gz')) return file;
  const unzipped = createGunzip();
  file.on('error', (error) => unzipped.destroy(error));
  return file.pipe(unzipped);
}

/** What gunzip says of a file that is cut or not gzip, as against a file that cannot be read. */
function isDamage(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^Z_/.test(String(error.code));
}
