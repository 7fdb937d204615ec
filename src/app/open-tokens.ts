import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { Settings, TokenSettings } from '../config/settings/settings.ts';
import { collect } from '../engines/collect.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import type { WorkerConnections } from '../engines/http/worker-connections.ts';
import type { Metrics } from '../observe/metrics.ts';
import { ExactTokens } from '../tokenize/exact-tokens.ts';
import { answerThreads, TokensOfThread } from '../tokenize/threads-tokens.ts';
import type { TokenSource } from '../tokenize/tokens.ts';
import { WorkerTokenizers, type WorkerTokenizersDeps } from '../tokenize/worker-tokenizers.ts';
import type { Roster } from '../workers/roster.ts';
import type { Worker } from '../workers/worker.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly registry: Roster;
  readonly connections: WorkerConnections;
  /** Those in force. */
  readonly settings: () => Settings;
}

/** Where this thread gets the tokens of prompts from. */
export interface OpenTokens {
  readonly source: TokenSource;
  reconfigure(settings: TokenSettings): void;
}

/** Whoever is in control does the work, so that the cache is one, and so is the count of what a worker is asked. */
export function openTokens({ settings, ...parts }: Parts): OpenTokens {
  const { part, clock } = parts;
  if (part.kind === 'request')
    return {
      source: new TokensOfThread(part.channel, clock, () => settings().tokens.timeoutMs),
      reconfigure: () => undefined,
    };
  const tokens = openExactTokens(settings().tokens, parts);
  if (part.kind === 'control') answerThreads(part.channels, tokens);
  return {
    source: tokens,
    reconfigure: (next) => {
      tokens.reconfigure(next);
    },
  };
}

function openExactTokens(
  settings: TokenSettings,
  { clock, metrics, registry, connections }: Omit<Parts, 'settings'>,
): ExactTokens<Worker> {
  const tokenizers = new WorkerTokenizers({ clock, ask: askWith(connections, clock) });
  const tokens = new ExactTokens(settings, {
    ...{ clock, metrics, tokenizers },
    workersFor: (model) => registry.membersFor(model).members.filter(isWell),
    versionOf: ({ spec }) => connections.versionOf(spec),
  });
  registry.on(({ type, worker }) => {
    // Another engine may be there now: with another template, or with routes that the one before had not.
    if (type === 'joined' || type === 'healthy' || type === 'models') {
      tokenizers.reset(worker);
      for (const model of worker.models) tokens.forget(model);
    }
    if (type === 'left') tokenizers.drop(worker);
  });
  return tokens;
}

function isWell({ health, draining, engine }: Worker): boolean {
  return health.healthy && !draining && engine === 'running';
}

function askWith(connections: WorkerConnections, clock: Clock): WorkerTokenizersDeps<Worker>['ask'] {
  return async ({ spec }, { path, body }, limits) => {
    const headers = [
      ...probeHeaders(spec),
      'content-type',
      'application/json',
      'accept-encoding',
      'identity',
    ];
    const request = { method: 'POST', path, headers, body, upgrade: undefined } as const;
    const answer = await collect(connections.clientOf(spec), request, clock, limits);
    return answer.kind === 'response' ? answer : { kind: 'failed' };
  };
}
