import type { Channel, Channels, QuestionKind } from '../../base/channel.ts';
import type { Decision, DecisionQuery } from './decision.ts';
import type { DecisionRing, FoundDecisions } from './decision-ring.ts';

interface DecisionsWanted {
  readonly query: DecisionQuery;
  /** By row: where the part of the answer before ended. Threads that are not among them are asked for the latest. */
  readonly below: ReadonlyMap<number, number>;
}

/** Of a request thread: some of its records. */
export const DECISIONS_WANTED: QuestionKind<DecisionsWanted, FoundDecisions> = { name: 'decisions:wanted' };

/** A thread that does not answer in this time is left out. */
const ANSWER_MS = 1_000;

/** The end of a request thread. */
export function offerDecisions(ring: DecisionRing, row: number, channel: Channel): void {
  channel.answer(DECISIONS_WANTED, ({ query, below }) => {
    const from = below.get(row) ?? Infinity;
    return from === 0 ? { records: [], below: 0 } : ring.page(query, from);
  });
}

/**
 * The end of control: the records that the query means of all threads, oldest first by the time of their end. In parts: no thread
 * has to stop for a long answer.
 */
export async function findDecisions(channels: Channels, query: DecisionQuery): Promise<readonly Decision[]> {
  const below = new Map<number, number>();
  /** By row: parts, the latest first. */
  const found = new Map<number, Decision[][]>();
  let isOpen = true;
  while (isOpen) {
    const answers = await channels.askAll(DECISIONS_WANTED, { query, below }, ANSWER_MS);
    for (const row of channels.rows) below.set(row, 0);
    isOpen = false;
    for (const { row, answer } of answers) {
      const parts = found.get(row) ?? [];
      found.set(row, parts);
      if (answer.records.length > 0) parts.push(answer.records);
      const count = parts.reduce((sum, part) => sum + part.length, 0);
      if (count >= query.limit || answer.below === 0) continue;
      below.set(row, answer.below);
      isOpen = true;
    }
  }
  return merge([...found.values()].map((parts) => parts.toReversed().flat())).slice(-query.limit);
}

/** By time, without changing the order that the records of one thread have. */
function merge(lists: readonly (readonly Decision[])[]): Decision[] {
  const timed = lists.flatMap((list) => {
    let latest = -Infinity;
    return list.map((record) => {
      latest = Math.max(latest, Date.parse(record.timestamp) + record.total_ms);
      return { record, endedAt: latest };
    });
  });
  return timed.sort((left, right) => left.endedAt - right.endedAt).map(({ record }) => record);
}
