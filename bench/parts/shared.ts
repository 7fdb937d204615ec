import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchRun } from '../bench-run.ts';
import { startRedis, type RedisTarget } from '../redis.ts';
import { number, times, type PartReport } from '../report.ts';
import { errorsOf, inRounds, medianOf, ratioOf } from '../rounds.ts';
import { ROUTER, type Target } from '../targets.ts';
import { addressOf, cpuPerRequest, warmUp } from './request.ts';

const CONNECTIONS = 32;
/** The load's own key. */
const KEY = 'sk-bench-0123456789abcdef';
const CACHE = 'cache: {sampled: true, max_entries: 4096, ttl_secs: 3600';
const MISSES = 'cache: {sampled: true, coalesce: false, ttl_secs: 0.001';
const TENANT = `api_keys: [{name: bench, key: ${KEY}, rate_limit_rps: 1000000, max_concurrent: 10000, tokens_per_minute: 1000000000}]\n`;

/** What is beside the workers in the file of each router. */
function variants(redis: string): Readonly<Record<string, string>> {
  const shared = `shared_state: {redis: {url: '${redis}'}}\n`;
  return {
    [ROUTER]: '',
    'router, replicas': shared,
    'router, tenant with limits': TENANT,
    'router, tenant with shared limits': shared + TENANT,
    'router, answers in memory, found': `${CACHE}}\n`,
    'router, answers in redis, found': `${CACHE}, backend: redis, redis: {url: '${redis}'}}\n`,
    'router, answers in redis, not found': `${MISSES}, backend: redis, redis: {url: '${redis}', key_prefix: 'missed:'}}\n`,
  };
}

/** What answers from a cache, limits and the load that replicas share cost: CPU of the router, and commands of Redis, per request. */
export async function sharedPart(run: BenchRun): Promise<PartReport> {
  const redis = await startRedis(run.dir, run.options.mayInstall);
  if ('missing' in redis)
    return {
      table: { title: 'With Redis', columns: ['left out'], rows: [[redis.missing]] },
      bars: [],
      data: redis,
    };
  try {
    return await measureAll(run, redis);
  } finally {
    await redis.stop();
  }
}

async function measureAll(run: BenchRun, redis: RedisTarget): Promise<PartReport> {
  mkdirSync(run.dir, { recursive: true });
  const targets: Target[] = [];
  for (const [index, [name, text]] of Object.entries(
    variants(`redis://127.0.0.1:${redis.port}/0`),
  ).entries()) {
    const file = join(run.dir, `shared-${index}.yaml`);
    writeFileSync(file, text === '' ? '{}\n' : text);
    const target = await run.routerWith(name, ['--config-file', file]);
    targets.push(target);
  }
  await warmUp(run, targets);
  const commands = new Map<string, number>();
  const all = await inRounds('shared', targets, run.options.rounds, async (target) => {
    const before = await redis.commands();
    const measured = await run.load.measure({
      ...{ kind: 'closed', target: addressOf(target), body: 'small', connections: CONNECTIONS },
      ...{ warmupMs: 0, windowMs: run.ms(1_250) },
    });
    const asked = (await redis.commands()) - before;
    commands.set(target.name, asked / measured.requests);
    return measured;
  });
  const [router] = all;
  return {
    table: {
      title: `Chat completions, 2 KiB body, not streamed, ${CONNECTIONS} connections; Redis ${redis.version ?? ''} on the core of the load`,
      columns: ['router', 'CPU us/request', 'x router', 'Redis commands/request', 'p50 ms', 'errors'],
      rows: all.map((rounds) => [
        rounds.target,
        number(medianOf(rounds, cpuPerRequest)),
        router ? times(ratioOf(rounds, router, cpuPerRequest)) : '-',
        number(commands.get(rounds.target) ?? Number.NaN),
        number(medianOf(rounds, ({ latency }) => latency?.p50 ?? NaN)),
        String(errorsOf(rounds)),
      ]),
      notes: [
        'commands that a script runs on the server count as well: limits take one round trip a request',
        'all seven routers are connected at the same time: replicas go on telling each other while another is measured, some 50 to 100 commands a second each',
      ],
    },
    bars: [],
    rounds: all,
    data: { rounds: all, commands: Object.fromEntries(commands) },
  };
}
