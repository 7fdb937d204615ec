import { writeReason } from '../base/system-reason.ts';
import type { LogSettings } from '../config/settings/settings.ts';
import { createLog, type OpenLog } from '../observe/log.ts';

/** Undefined where the folder cannot be written; that has been told then. */
export function openLog(settings: LogSettings): OpenLog | undefined {
  try {
    return createLog(settings);
  } catch (error) {
    const place = `${settings.dir ?? ''} (--log-dir)`;
    process.stderr.write(`vllm-router: cannot write logs to ${place}: ${writeReason(error)}\n`);
    return undefined;
  }
}
