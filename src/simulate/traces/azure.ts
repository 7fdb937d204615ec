import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { isTokenCount, type TraceRequest } from './trace.ts';

/** Its prompts have no contents: block size only rounds. */
export const AZURE_BLOCK_TOKENS = 64;

/**
 * Reads the lines of an Azure LLM inference trace (CSV with `TIMESTAMP`, `ContextTokens` and `GeneratedTokens`). It tells
 * nothing of contents, so no two prompts share anything. The first line names the columns; undefined for it.
 */
export function azureReader(): (line: string) => TraceRequest | string | undefined {
  let columns: { readonly time: number; readonly prompt: number; readonly output: number } | undefined;
  let nextId = 0;
  let unusable = false;
  return (line) => {
    // Told once: without columns no line can be read.
    if (unusable) return undefined;
    const cells = line.split(',').map((cell) => cell.trim().replace(/^"|"$/g, ''));
    if (columns === undefined) {
      const place = (name: string): number => cells.findIndex((cell) => cell.toLowerCase() === name);
      const found = {
        time: place('timestamp'),
        prompt: place('contexttokens'),
        output: place('generatedtokens'),
      };
      unusable = found.time < 0 || found.prompt < 0 || found.output < 0;
      if (unusable)
        return 'the first line must name the columns TIMESTAMP, ContextTokens and GeneratedTokens';
      columns = found;
      return undefined;
    }
    const at = timeOf(cells[columns.time] ?? '');
    const promptTokens = Number(cells[columns.prompt] || NaN);
    const outputTokens = Number(cells[columns.output] || NaN);
    if (Number.isNaN(at)) return 'TIMESTAMP is not a time';
    if (!isTokenCount(promptTokens) || promptTokens < 1) return 'ContextTokens is not a number of tokens';
    if (!isTokenCount(outputTokens)) return 'GeneratedTokens is not a number of tokens';
    const count = Math.floor(promptTokens / AZURE_BLOCK_TOKENS);
    const ids = Array.from({ length: count }, () => nextId++);
    const blocks = blocksFromHashIds(ids, AZURE_BLOCK_TOKENS, promptTokens);
    return { at, promptTokens, outputTokens, blocks, session: undefined };
  };
}

/** `2023-11-16 18:15:46.6805900`, UTC, or seconds as a number. */
function timeOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const [, day, time, fraction = ''] =
    /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?$/.exec(text) ?? [];
  if (day === undefined || time === undefined) return NaN;
  return Date.parse(`${day}T${time}Z`) + Number(`0${fraction}`) * 1000;
}
