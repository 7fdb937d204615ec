import type { CheckProblem } from '../schema/check-problem.ts';
import { splitEndpoint } from '../schema/kv-events-schema.ts';
import { policiesIn } from './policies-in.ts';
import type { Config } from '../schema/schema.ts';
import type { KvEventSettings } from './kv-events.ts';

const USUAL_PORT = 5557;

export function kvEventSettings(config: Config): KvEventSettings {
  const { kv_events: events } = config;
  const isExpected = events.port !== undefined || events.endpoint !== undefined || usesEvents(config);
  return {
    follows:
      events.enabled === 'auto' ? (isExpected ? 'all' : 'known') : events.enabled === 'on' ? 'all' : 'none',
    endpoint: events.endpoint ?? `tcp://{host}:${events.port ?? USUAL_PORT}`,
    replayPort: events.replay_port,
    topic: events.topic,
    ranks: events.ranks,
    endpoints: new Map(
      events.endpoints.flatMap((value) => {
        const split = splitEndpoint(value);
        return split ? [[split.url, split.endpoint] as const] : [];
      }),
    ),
    bind: events.bind,
    maxIndexBytes: events.max_index_bytes,
  };
}

/** Whether something is configured that goes by events. */
function usesEvents(config: Config): boolean {
  const policies = policiesIn(config);
  return (
    config.cache_knowledge === 'events' ||
    policies.some(
      (policy) =>
        policy.type === 'kv_aware' || ('cache_knowledge' in policy && policy.cache_knowledge === 'events'),
    )
  );
}

export function kvEventProblems({ kv_events: events, ...config }: Config): CheckProblem[] {
  const problems: CheckProblem[] = [];
  if (events.port !== undefined && events.endpoint !== undefined)
    problems.push({
      path: ['kv_events', 'port'],
      message: 'kv_events.endpoint names the port already; give one of the two',
    });
  if (events.enabled === 'off' && usesEvents({ ...config, kv_events: events }))
    problems.push({
      path: ['kv_events', 'enabled'],
      message: 'expected auto or on: a policy, or cache_knowledge, goes by events',
    });
  const urls = events.endpoints.map((value) => splitEndpoint(value)?.url);
  for (const [index, url] of urls.entries())
    if (urls.indexOf(url) !== index)
      problems.push({
        path: ['kv_events', 'endpoints', index],
        message: `${url ?? ''} has an endpoint already`,
      });
  return problems;
}
