import * as z from 'zod';
import { count, key, secs, text } from './field.ts';

const MIB = 1024 * 1024;

/** The section `decision_log`. */
export const decisionLog = z
  .strictObject({
    export_path: key(text().optional(), {
      group: 'Decision log',
      about: 'Every decision record is appended to this file, one JSON object per line.',
      value: 'FILE',
      defaultText: 'none: records are kept in memory only',
    }),
    export_interval_secs: key(secs().default(10), {
      group: 'Decision log',
      about: 'Records are written at the latest after this long.',
    }),
    include_request_text: key(z.boolean().default(false), {
      group: 'Decision log',
      about:
        'Records hold the text of the prompt, its first 64 KiB. Hashes of its blocks are there in any case.',
    }),
    candidates: key(z.enum(['8', 'all']).default('8'), {
      group: 'Decision log',
      about: 'Workers that a record lists in full: the best 8 and those tried, or all.',
    }),
    max_file_bytes: key(count(65_536).default(256 * MIB), {
      group: 'Decision log',
      about: 'A larger file is closed, compressed with gzip and followed by a new one.',
    }),
    max_file_age_secs: key(secs().default(86_400), {
      group: 'Decision log',
      about: 'So is a file that has been open for longer.',
    }),
    keep_files: key(count(1).default(14), {
      group: 'Decision log',
      about: 'Compressed files that are kept; older ones are removed.',
    }),
    max_waiting_bytes: key(count(65_536).default(64 * MIB), {
      group: 'Decision log',
      about: 'Bytes that may wait for a slow or full disk; beyond them records are given up and counted.',
    }),
  })
  .prefault({});
