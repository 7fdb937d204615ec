import type { Log } from '../../src/observe/log.ts';

/** Keeps the lines of the log. */
export function recordingLog(lines: { message: string; fields: Record<string, unknown> }[]): Log {
  const note = (fields: object, message: string): void => {
    lines.push({ message, fields: { ...fields } });
  };
  const log: Log = {
    ...{ trace: note, debug: note, info: note, warn: note, error: note },
    child: () => log,
    isLevelEnabled: () => false,
  };
  return log;
}
