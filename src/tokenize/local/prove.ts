import type { WorkerTokens } from '../worker-tokenizers.ts';
import { CHAT_FEATURES, type ChatFeature, type ContentFormat } from './local-chat.ts';
import { probesWith, type Probe } from './probes.ts';
import type { JobResult } from './text-jobs.ts';
import type { TextResult } from './text-messages.ts';

/**
 * What came of comparing. `proven`: the tokens are the worker's in chats that have no other features than these. `differs`: they are not.
 * `unproved`: that could not be found out.
 */
export type Proof =
  | {
      readonly state: 'proven';
      readonly format: ContentFormat;
      readonly features: readonly ChatFeature[];
      /** Why others are not; undefined where all are. */
      readonly reason: string | undefined;
    }
  | { readonly state: 'differs' | 'unproved'; readonly reason: string };

export interface ProveDeps {
  readonly ofWorker: (probe: Probe) => Promise<WorkerTokens>;
  readonly ofOurs: (probe: Probe, format: ContentFormat) => Promise<JobResult>;
  /** Tokens that mean something to the model. */
  readonly specials: readonly string[];
}

/** One way of handing content to the template, and how it compares. */
interface Way {
  readonly format: ContentFormat;
  readonly wrong: Set<ChatFeature>;
  /** The first probe that all must agree on, and this one does not. */
  different: string | undefined;
}

/** Compares a tokenizer with a worker's, prompt by prompt. Never rejects. */
export async function prove({ ofWorker, ofOurs, specials }: ProveDeps): Promise<Proof> {
  const ways: readonly Way[] = (['string', 'openai'] as const).map((format) => ({
    ...{ format, wrong: new Set<ChatFeature>(), different: undefined },
  }));
  const refused = new Set<ChatFeature>();
  for (const probe of probesWith(specials)) {
    const { name, feature } = probe;
    const theirs = await ofWorker(probe);
    if (theirs.kind === 'refused' && feature) {
      refused.add(feature);
      continue;
    }
    if (theirs.kind !== 'ids') return { state: 'unproved', reason: `${name}: ${UNPROVED[theirs.kind]}` };
    for (const way of ways) {
      const ours = await ofOurs(probe, way.format);
      if (ours.kind === 'busy' || ours.kind === 'slow')
        return { state: 'unproved', reason: `${name}: the text thread is busy` };
      const difference = differenceOf(ours, theirs.ids);
      if (difference === undefined) continue;
      if (feature) way.wrong.add(feature);
      else way.different ??= `${name}: ${difference}`;
    }
    // The first one says it all.
    if (ways.every(({ different }) => different !== undefined)) break;
  }
  return verdictOf(ways, refused);
}

const UNPROVED = {
  busy: 'the worker is left alone after failures',
  unoffered: 'the worker has no route that tokenises',
  refused: 'the worker refuses it',
  slow: 'the worker takes too long for prompts of its length',
  failed: 'the worker did not answer',
} as const;

function verdictOf(ways: readonly Way[], refused: ReadonlySet<ChatFeature>): Proof {
  const right = ways.filter(({ different }) => different === undefined);
  const [best] = right.toSorted((left, other) => left.wrong.size - other.wrong.size);
  if (!best) return { state: 'differs', reason: ways[0]?.different ?? '' };
  const without = new Set([...best.wrong, ...refused]);
  const reason = without.size === 0 ? undefined : `not used for chats with ${[...without].join(', ')}`;
  const features = CHAT_FEATURES.filter((feature) => !without.has(feature));
  return { state: 'proven', format: best.format, features, reason };
}

/** In words; undefined where there is none. */
function differenceOf(ours: TextResult, theirs: Uint32Array): string | undefined {
  if (ours.kind !== 'ids') return ours.reason;
  const { ids } = ours;
  const at = theirs.findIndex((id, index) => id !== ids[index]);
  if (at < 0 && ids.length === theirs.length) return undefined;
  const first = at < 0 ? theirs.length : at;
  return `token ${first} is ${ids[first] ?? 'none'}, the worker's is ${theirs[first] ?? 'none'}`;
}
