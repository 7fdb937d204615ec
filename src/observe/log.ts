import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import { isoTime } from '../base/iso-time.ts';
import { wantsColours } from '../base/colours.ts';
import { systemClock } from '../base/system-clock.ts';
import { fieldsText, stringText } from './json-line.ts';
import type { LogFields } from './log-redaction.ts';
import { dailyFileSink, fdSink, writeLines, type LogSink } from './log-sink.ts';
import { LinePoster, lineKinds, takeLines } from './posted-lines.ts';
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
  /** In control: takes the lines of request threads (`createThreadLog`), and tells them of other levels. */
  readonly takeFrom: (channels: Channels) => void;
}

const LOG_LINES = lineKinds('log');
const LOG_LEVEL: MessageKind<LogLevel> = { name: 'log:level' };
/** Bytes of lines that may be on their way to control, from all threads together. */
const MOST_UNDER_WAY = 16 * 1024 * 1024;

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

  const gate: Gate = { least: RANKS[options.level], clock, sinks };
  const threads: Channels[] = [];
  let droppedThere = 0;
  return {
    log: new LineLog(gate, ''),
    setLevel: (level) => {
      gate.least = RANKS[level];
      for (const channels of threads) channels.broadcast(LOG_LEVEL, level);
    },
    close: async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
    },
    dropped: () => sinks.reduce((sum, sink) => sum + sink.dropped, droppedThere),
    reopened: () => file?.reopened ?? 0,
    takeFrom: (channels) => {
      threads.push(channels);
      takeLines(channels, LOG_LINES, ({ bytes, lines, dropped }, done) => {
        droppedThere += dropped;
        if (lines > 0) for (const sink of sinks) writeLines(sink, Buffer.from(bytes.buffer), lines);
        done();
      });
    },
  };
}

export interface ThreadLogDeps {
  readonly channel: Channel;
  /** How many request threads there are. */
  readonly threads: number;
  readonly clock?: Clock;
}

/** The log of a request thread: its lines are made here, and control writes them. */
export function createThreadLog(
  { level }: Pick<LogOptions, 'level'>,
  { channel, threads, clock = systemClock }: ThreadLogDeps,
): OpenLog {
  const poster = new LinePoster({
    ...{ channel, clock, kinds: LOG_LINES },
    mostBytes: MOST_UNDER_WAY / threads,
  });
  const gate: Gate = { least: RANKS[level], clock, sinks: [poster] };
  const setLevel = (other: LogLevel): void => {
    gate.least = RANKS[other];
  };
  channel.on(LOG_LEVEL, setLevel);
  return {
    log: new LineLog(gate, ''),
    setLevel,
    close: () => poster.close(),
    // Control is told, and counts them.
    dropped: () => 0,
    reopened: () => 0,
    takeFrom: () => {
      throw new Error('lines go to control');
    },
  };
}

const RANKS: Readonly<Record<LogLevel, number>> = { trace: 10, debug: 20, info: 30, warn: 40, error: 50 };

/** What a log and its children share. */
interface Gate {
  /** The least level that is written. */
  least: number;
  readonly clock: Clock;
  readonly sinks: readonly LogSink[];
}

/** Writes lines of the shape that pino's have: level, time, the fields in their order, message. */
class LineLog implements Log {
  readonly #gate: Gate;
  /** Fields of every line, as they are written. */
  readonly #own: string;

  constructor(gate: Gate, own: string) {
    this.#gate = gate;
    this.#own = own;
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
    return new LineLog(this.#gate, this.#own + fieldsText(fields));
  }

  isLevelEnabled(level: LogLevel): boolean {
    return RANKS[level] >= this.#gate.least;
  }

  #write(level: LogLevel, fields: LogFields, message: string): void {
    const { least, clock, sinks } = this.#gate;
    if (RANKS[level] < least) return;
    let text = '';
    try {
      text = fieldsText(fields);
    } catch {
      // A field whose getter throws: the message alone is better than a failed request.
    }
    const line = `{"level":"${level}","time":"${isoTime(clock.wall())}"${this.#own}${text},"msg":${stringText(message)}}\n`;
    const urgent = RANKS[level] >= RANKS.warn;
    for (const sink of sinks) sink.write(line, urgent);
  }
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
