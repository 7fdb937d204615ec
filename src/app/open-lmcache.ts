import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { ControllerPoll, type PollSettings } from '../cache-knowledge/lmcache/controller-poll.ts';
import { showLmcacheEvents, type LmcacheEvents } from '../cache-knowledge/lmcache/lmcache-events.ts';
import { LmcacheKnowledge } from '../cache-knowledge/lmcache/lmcache-knowledge.ts';
import { Lookups, type LookupSettings } from '../cache-knowledge/lmcache/lookups.ts';
import { StatesOfThread, StatesOfThreads } from '../cache-knowledge/lmcache/threads-states.ts';
import type { LmcacheSettings } from '../config/settings/settings.ts';
import type { PoolSettings } from '../engines/http/connection-pool.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Roster } from '../workers/roster.ts';
import { LmcacheConnection } from './lmcache-connection.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly roster: Roster;
  readonly sockets: OutboundSockets;
  readonly pool: PoolSettings;
}

/** What this thread has of LMCache. */
export interface OpenLmcache {
  readonly knowledge: LmcacheKnowledge;
  reconfigure(settings: LmcacheSettings): void;
  close(): void;
}

/** Each thread looks prompts up by itself; which instances there are, and what each stores, control asks for all of them. */
export function openLmcache(
  settings: LmcacheSettings,
  { part, roster, metrics, ...parts }: Parts,
): OpenLmcache {
  const { clock, log } = parts;
  const events = showLmcacheEvents(metrics, log);
  const connection = new LmcacheConnection(settings, parts);
  const lookups = new Lookups(lookupSettings(settings), {
    clock,
    ask: connection.ask,
    onBreaker: events.breaker,
  });
  const poll = part.kind === 'request' ? undefined : openPoll(settings, { clock, connection, events });
  const states =
    part.kind === 'request'
      ? new StatesOfThread(part.channel)
      : part.kind === 'control' && poll
        ? new StatesOfThreads(poll, part.channels, part.memory.self)
        : poll;
  if (!states) throw new Error('a thread that is no request thread asks the controller itself');
  const knowledge = new LmcacheKnowledge(settings, {
    ...{ clock, roster, states, lookups },
    // One thread says whom no worker is known for.
    events: poll ? events : { ...events, mapped: () => undefined },
  });
  if (poll) showInstances(metrics, knowledge);
  poll?.onState(() => {
    knowledge.lookAtInstances();
  });
  let inForce = settings;
  return {
    knowledge,
    reconfigure(next) {
      const isSame = next.base === inForce.base && next.prefix === inForce.prefix && next.api === inForce.api;
      inForce = next;
      connection.reconfigure(next);
      lookups.reconfigure(lookupSettings(next));
      poll?.reconfigure(pollSettings(next), isSame);
      knowledge.reconfigure(next);
    },
    close() {
      poll?.close();
      connection.close();
    },
  };
}

function openPoll(
  settings: LmcacheSettings,
  {
    clock,
    connection,
    events,
  }: { readonly clock: Clock; readonly connection: LmcacheConnection; readonly events: LmcacheEvents },
): ControllerPoll {
  return new ControllerPoll(pollSettings(settings), { clock, ask: connection.ask, onPolled: events.polled });
}

function showInstances(metrics: Metrics, knowledge: LmcacheKnowledge): void {
  metrics.lmcacheInstances.onCollect((family) => {
    const { mapped, unmapped, ambiguous } = knowledge.instances;
    family.with('mapped').set(mapped);
    family.with('unmapped').set(unmapped);
    family.with('ambiguous').set(ambiguous);
  });
  metrics.lmcacheListAgeSeconds.onCollect((family) => {
    const age = knowledge.listAgeMs;
    if (age !== undefined) family.with().set(age / 1000);
  });
}

function lookupSettings({ lookupTimeoutMs: timeoutMs, breaker }: LmcacheSettings): LookupSettings {
  return { timeoutMs, breaker };
}

function pollSettings({ api, pollIntervalMs: intervalMs, timeoutMs }: LmcacheSettings): PollSettings {
  return { api, intervalMs, timeoutMs };
}
