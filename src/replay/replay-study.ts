import type { LogRecord } from '../decisions/log-record.ts';
import { policyName, type PolicySettings } from '../config/settings/settings.ts';
import { knownOptions } from '../request/choose/policy-caches.ts';
import type { Objective } from '../simulate/fleet/summary.ts';
import type { Candidate } from './candidate.ts';
import { logTrace, type ReplayLog } from './log-trace.ts';
import { EVENTS, fitLog, fleetOf, modelled, type Modelled, type Speeds } from './modelled.ts';
import { redecide, type Redecided } from './redecide.ts';

export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

export interface ReplayStudy {
  readonly log: ReplayLog;
  /** Records that were read. */
  readonly records: number;
  /** Of those, the ones that no worker got, that went to the worker of a stored resource, or that were split. */
  readonly notReplayed: number;
  /** `duration_ms` of every record. */
  readonly duration: Latency;
  /** Which policies decided, most first. */
  readonly policies: readonly (readonly [name: string, count: number])[];
  /** Of all records, the share that the router turned away or failed. */
  readonly rejectedShare: number;
  readonly perWorker: readonly number[];
  readonly candidates: readonly { readonly candidate: Candidate; readonly redecided: Redecided }[];
  /** Undefined where the log does not tell enough. */
  readonly modelled: Modelled | undefined;
  readonly notes: readonly string[];
}

export interface ReplayInput {
  readonly records: readonly LogRecord[];
  readonly candidates: readonly Candidate[];
  readonly speeds: Speeds;
  readonly objective: Objective;
}

const LEAST_FOR_MODEL = 10;
const BY_CHANCE: ReadonlySet<string> = new Set(['round_robin', 'random', 'power_of_two']);

/** Everything that replay tells; yields now and then. */
export function* replayStudy(
  input: ReplayInput,
): Generator<{ readonly done: number; readonly what: string }, ReplayStudy> {
  const { records, candidates, speeds, objective } = input;
  const log = logTrace(records);
  const fit = fitLog(log);
  const fleet = fleetOf(log, fit, speeds);
  const redecided = [];
  for (const [index, candidate] of candidates.entries()) {
    yield { done: (0.3 * index) / candidates.length, what: candidate.name };
    redecided.push({ candidate, redecided: redecide(log, candidate, fleet) });
  }
  let result: Modelled | undefined;
  if (log.modelled >= LEAST_FOR_MODEL && log.withBlocks > 0) {
    const steps = modelled(log, candidates, { fit, speeds, objective });
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield { ...step.value, done: 0.3 + 0.7 * step.value.done };
    result = step.value;
  }
  return {
    ...{ log, candidates: redecided, modelled: result, records: records.length },
    notReplayed: records.length - log.requests.length,
    duration: latencyOf(records.map(({ durationMs }) => durationMs)),
    policies: countsOf(log.requests.map(({ record }) => record.policy ?? '(none named)')),
    rejectedShare: records.filter(isRejected).length / Math.max(1, records.length),
    perWorker: log.workers.map((_, index) => log.requests.filter(({ worker }) => worker === index).length),
    notes: notesOf(input, log, result),
  };
}

function asksLmcache(policy: PolicySettings): boolean {
  return policy.type === 'lmcache_aware' || knownOptions(policy).knowledge === 'lmcache';
}

function isRejected({ status, outcome }: LogRecord): boolean {
  return outcome === 'rejected' || outcome === 'router_error' || (outcome === undefined && status >= 500);
}

function notesOf(
  { candidates, records }: ReplayInput,
  log: ReplayLog,
  result: Modelled | undefined,
): readonly string[] {
  const notes: string[] = [];
  if (records.some(({ version }) => version < 4))
    notes.push('records before version 4 hold no loads and no lengths: their requests count as alike');
  const split = records.filter((record) => record.split).length;
  if (split > 0)
    notes.push(
      `${String(split)} requests went through a prefill and a decode worker: they are left out, and their load with them`,
    );
  if (result === undefined)
    notes.push(
      'no estimate of latencies: it takes records of version 4 or later with token counts and block hashes',
    );
  else if (log.withBlocks < log.modelled)
    notes.push(
      `${String(log.modelled - log.withBlocks)} of ${String(log.modelled)} requests have no block hashes (prompts under ${String(log.blockSize)} tokens have none): they are taken to share nothing`,
    );
  if (result && result.fit === undefined)
    notes.push('too few streamed requests to learn the speed of the engines: defaults or flags are used');
  const hashing = candidates.filter(({ policy }) => policyName(policy).endsWith('_hash'));
  if (hashing.length > 0)
    notes.push(
      `hash keys are not recorded: ${hashing.map(({ name }) => name).join(', ')} is given one per conversation, guessed from the prompts`,
    );
  const hearing = candidates.filter(({ hearsEvents }) => hearsEvents);
  if (hearing.length > 0)
    notes.push(
      `the log has no events of caches: in the worker model ${hearing.map(({ name }) => name).join(', ')} hears ${String(EVENTS.delayMs)} ms later what the modelled engines store and remove, in blocks of ${String(log.blockSize)} tokens; request by request it goes by what was sent where`,
    );
  const looking = candidates.filter(({ policy }) => asksLmcache(policy));
  if (looking.length > 0)
    notes.push(
      `the log does not say what LMCache stores: for ${looking.map(({ name }) => name).join(', ')} it is taken to store what the modelled engines have in their caches, in blocks of ${String(log.blockSize)} tokens, and its controller to answer at once and without fail; request by request it stores what was sent where`,
    );
  const byChance = candidates.filter(({ policy }) => BY_CHANCE.has(policyName(policy)));
  if (byChance.length > 0)
    notes.push(
      `${byChance.map(({ name }) => name).join(', ')} chooses by turn or by chance: how often that is the same worker says nothing`,
    );
  if (candidates.some(({ policy }) => policy.type === 'plugin'))
    notes.push("plugins' policies are asked without what they would look up");
  notes.push('queues, limits and retries of a configuration are not replayed, only its policy');
  return notes;
}

/** At the places len/2, floor(0.9 len) and floor(0.99 len) of the sorted values. */
function latencyOf(values: readonly number[]): Latency {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

function countsOf(names: readonly string[]): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([, left], [, right]) => right - left);
}
