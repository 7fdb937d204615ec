/** What a real vLLM published: test/data/vllm-0.32-kv-events. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../data/vllm-0.32-kv-events');

export type Capture = 'live' | 'bytes-hashes' | 'dp2' | 'pd-prefill' | 'pd-decode' | 'replay-from-17';

/** Its messages, each a list of frames. */
export function readCapture(name: Capture): readonly (readonly Buffer[])[] {
  return readFileSync(join(FOLDER, `${name}.txt`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map((hex) => Buffer.from(hex === '-' ? '' : hex, 'hex')));
}

/** The payloads of its messages. */
export function capturedPayloads(name: Capture): readonly Buffer[] {
  return readCapture(name).map((frames) => frames.at(-1)!);
}
