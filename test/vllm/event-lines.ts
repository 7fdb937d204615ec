import type { JsonObject } from '../../src/api/prompt-sink.ts';

/** The JSON of a stream's events. */
export function readLines(stream: string): readonly JsonObject[] {
  return stream
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as JsonObject);
}
