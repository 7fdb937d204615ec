import { pino, type Logger } from 'pino';
import type { Clock } from '../base/clock.ts';
import { wantsColours } from '../base/colours.ts';
import { systemClock } from '../base/system-clock.ts';
import { cleanFields, cleanText, type LogFields } from './log-redaction.ts';
import { dailyFileSink, fanOut, fdSink, type LogSink } from './log-sink.ts';
import { prettyLine } from './pretty-line.ts';

export type { LogFields } from './log-redaction.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/**
 * What the rest of the program may do with a log. Fields are data (snake_case, units in names), the message is a
 * constant phrase: what clients or workers send goes into fields, where it is quoted.
 */
export interface Log {
  trace(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log whose lines carry these fields too. */
  child(fields: LogFields): Log;
  /** Whether such a line would be written: ask before building costly fields. */
  isLevelEnabled(level: LogLevel): boolean;
}

/** The part of the configuration that this needs; `dir` undefined means no file. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty' | 'auto';
  readonly dir: string | undefined;
}

export interface LogDeps {
  readonly clock?: Clock;
  /** Where the lines go besides the file; standard output if absent. */
  readonly console?: LogSink;
  /** Whether the console is a terminal; asked of standard output if absent. */
  readonly isTerminal?: boolean;
  /** Says whether colours are wanted; the process's own if absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface OpenLog {
  readonly log: Log;
  /** Takes effect at once, for every child too. */
  readonly setLevel: (level: LogLevel) => void;
  /** Flushes and closes; later lines are ignored. */
  readonly close: () => Promise<void>;
  /** Lines lost so far because they could not be written. */
  readonly dropped: () => number;
  /** Log files opened anew so far because the one before had been removed or moved away. */
  readonly reopened: () => number;
}

/**
 * Lines go to standard output, as JSON or for people ('auto': for people on a terminal), and, with `dir`, to one JSON
 * file per day.
 * @throws the file system's error when the folder or file cannot be made.
 */
export function createLog(options: LogOptions, deps: LogDeps = {}): OpenLog {
  const clock = deps.clock ?? systemClock;
  const terminal = deps.isTerminal ?? process.stdout.isTTY;
  const pretty = options.format === 'pretty' || (options.format === 'auto' && terminal);
  const console = deps.console ?? fdSink(1, { batch: !terminal });
  const colours = wantsColours({ isTTY: terminal }, deps.env ?? process.env);
  const sinks = [pretty ? prettySink(console, colours) : console];
  const file = options.dir === undefined ? undefined : dailyFileSink(options.dir, clock);
  if (file) sinks.push(file);

  const gate: Gate = { least: RANKS[options.level] };
  const logger = pino(
    {
      // The gate decides: pino's children would keep the level they were made with.
      level: 'trace',
      base: null,
      timestamp: isoTime(clock),
      formatters: { level: (label) => ({ level: label }) },
      // Fields arrive cleaned and errors as plain objects.
      serializers: {},
    },
    fanOut(sinks),
  );
  return {
    log: new PinoLog(logger, gate),
    setLevel: (level) => {
      gate.least = RANKS[level];
    },
    close: async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
    },
    dropped: () => sinks.reduce((sum, sink) => sum + sink.dropped, 0),
    reopened: () => file?.reopened ?? 0,
  };
}

const RANKS: Readonly<Record<LogLevel, number>> = { trace: 10, debug: 20, info: 30, warn: 40, error: 50 };

/** The least level that is written, shared by a log and its children. */
interface Gate {
  least: number;
}

class PinoLog implements Log {
  readonly #logger: Logger;
  readonly #gate: Gate;

  constructor(logger: Logger, gate: Gate) {
    this.#logger = logger;
    this.#gate = gate;
  }

  trace(fields: LogFields, message: string): void {
    this.#write('trace', fields, message);
  }

  debug(fields: LogFields, message: string): void {
    this.#write('debug', fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#write('info', fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#write('warn', fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.#write('error', fields, message);
  }

  child(fields: LogFields): Log {
    return new PinoLog(this.#logger.child(cleanFields(fields)), this.#gate);
  }

  isLevelEnabled(level: LogLevel): boolean {
    return RANKS[level] >= this.#gate.least;
  }

  #write(level: LogLevel, fields: LogFields, message: string): void {
    if (RANKS[level] < this.#gate.least) return;
    try {
      this.#logger[level](cleanFields(fields), cleanText(message));
    } catch {
      // A field whose getter or toJSON throws: the message alone is better than a failed request.
      this.#logger[level](cleanText(message));
    }
  }
}

/** `,"time":"2026-11-03T09:21:07.123Z"`; a busy router writes many lines in the same millisecond. */
function isoTime(clock: Clock): () => string {
  let at = NaN;
  let text = '';
  return () => {
    const now = Math.floor(clock.wall());
    if (now !== at) {
      at = now;
      text = `,"time":"${new Date(now).toISOString()}"`;
    }
    return text;
  };
}

function prettySink(sink: LogSink, colours: boolean): LogSink {
  return {
    get dropped() {
      return sink.dropped;
    },
    write(line) {
      sink.write(prettyLine(line, colours));
    },
    close: () => sink.close(),
  };
}

/** Says nothing; for tests and embedders that bring no log. */
export const silentLog: Log = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
  isLevelEnabled: () => false,
};
