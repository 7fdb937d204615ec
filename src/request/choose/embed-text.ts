import { comparedText, type Compared } from '../../response-cache/semantic/semantic-question.ts';
import type { UnitVector } from '../../semantic/unit-vector.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';

/** A text that is longer is known by its beginning, where that is enough. */
const MOST_CHARS = 8192;

/** What a request asks for, in its own words; undefined where it has none, or is too long to be read. */
export function spokenText({ settings }: Runtime, { ask }: Call): string | undefined {
  const { values, isWhole } = ask.said();
  return isWhole ? comparedText(values, comparedBy(settings)) : undefined;
}

/** By what requests are compared: the same for all, so that one vector does for all. */
export function comparedBy({ semantic }: Runtime['settings']): Compared {
  return semantic.cache?.compared ?? 'last_message';
}

/** The direction of the text, kept with the request, which has one made at most; undefined where none could be had in time. */
export async function vectorFor(
  { semantic }: Runtime,
  { ask }: Call,
  text: string,
  signal: AbortSignal,
): Promise<UnitVector | undefined> {
  const { embedder } = semantic;
  if (ask.vector === undefined && embedder) {
    const { timeoutMs } = embedder.settings;
    const embedding = await embedder.embed(text.slice(0, MOST_CHARS), timeoutMs, signal);
    ask.vector = embedding.kind === 'vector' ? embedding.vector : null;
  }
  return ask.vector ?? undefined;
}
