import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReloadReport } from '../admin/reload-report.ts';
import { seededRandom } from '../base/random.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { noCache } from '../cache-knowledge/predicted-index.ts';
import { configFromOptions } from '../config/load/load.ts';
import type { RouterOptions } from '../config/load/options.ts';
import type { PolicySettings } from '../config/settings/settings.ts';
import { good } from '../config/test-support.ts';
import { createPolicy } from '../routing/policies/index.ts';
import type { Policy } from '../routing/policy.ts';
import { LoadLedger } from '../workers/ledger.ts';
import { reportOf, type ReportInput } from './reload-plan.ts';

const NO_WORKERS = { join: [], keep: [], respec: [], retire: [], conflicts: [] };

const load = (options: RouterOptions) => good(configFromOptions({ workerUrls: ['http://w'], ...options }));

const clock = new VirtualClock();
const deps = { loads: new LoadLedger(clock), cache: noCache, clock, random: seededRandom(1) };
const make = (settings: PolicySettings): Policy => createPolicy(settings, deps);

interface Case {
  readonly from?: RouterOptions;
  readonly to?: RouterOptions;
  /** Switched to through the API. */
  readonly switched?: RouterOptions;
  readonly more?: Partial<ReportInput>;
}

function report({ from = {}, to = {}, switched = from, more = {} }: Case): ReloadReport {
  const before = load(from);
  const after = load(to);
  const { policy } = load(switched).settings;
  return reportOf({
    before,
    after: after.config,
    settings: after.settings,
    policies: { settings: policy, default: make(policy), switched: new Map(), trial: make },
    workers: NO_WORKERS,
    notices: [],
    dryRun: false,
    ...more,
  });
}

/** What is said of the policy. */
function policyOf(given: Case): string {
  const [change, ...others] = report(given).changes;
  assert.deepEqual([change?.key, change?.how, others], ['policy', 'reset', []]);
  return change?.detail ?? '';
}

describe('the report of a reload', () => {
  it('is empty where nothing differs', () => {
    const { text, changes } = report({});
    assert.deepEqual([text, changes], ['nothing has changed', []]);
    assert.equal(report({ more: { dryRun: true } }).text, 'nothing would change');
  });

  it('says of the predicted index what happens to it', () => {
    const policies = (from: RouterOptions['policy'], to: RouterOptions['policy']): string =>
      policyOf({ from: { policy: from }, to: { policy: to } } as Case);
    assert.match(policies('cache_aware', 'least_work'), /the predicted index is adopted$/);
    assert.match(policies('cache_aware', 'round_robin'), /the predicted index is dropped$/);
    assert.doesNotMatch(policies('round_robin', 'cache_aware'), /index/);
  });

  it('tells the parameters of one policy, but of another policy only its name', () => {
    const same = policyOf({ to: { policy: { type: 'least_work', theta: 0.5 } } });
    assert.match(same, /^theta 0\.3 -> 0\.5; pinned/);
    const other = policyOf({ to: { policy: { type: 'cache_aware', cacheThreshold: 1 } } });
    assert.match(other, /^type "least_work" -> "cache_aware"; pinned/);
  });

  it('tells a policy that was switched from one that is configured otherwise', () => {
    const back = policyOf({ switched: { policy: 'random' } });
    assert.match(back, /^the configured policy is back: it had been switched to random; /);
    const both = policyOf({ to: { policy: 'round_robin' }, switched: { policy: 'random' } });
    assert.match(both, /^type .* -> "round_robin"; the configured policy is back/);
    // Switched to what the file says now: nothing is left to do.
    assert.deepEqual(report({ to: { policy: 'random' }, switched: { policy: 'random' } }).changes, []);
  });

  it('adopts the index when only its bounds change', () => {
    const { changes } = report({ to: { policy: { type: 'least_work', maxTreeSize: 1000 } } });
    assert.deepEqual(
      changes.map(({ key, how }) => [key, how]),
      [['policy.max_tree_size', 'adopted']],
    );
  });

  it('names models whose policy had been switched', () => {
    const { policy } = load({ policy: 'random' }).settings;
    const before = load({}).settings.policy;
    const policies = {
      settings: before,
      default: make(before),
      switched: new Map([['m', policy]]),
      trial: make,
    };
    const { changes } = report({ more: { policies } });
    assert.deepEqual([changes[0]?.key, changes[0]?.how], ['policy', 'reset']);
    assert.match(changes[0]?.detail ?? '', /get theirs back: m$/);
  });

  it('notices files with another content under the same name', () => {
    const { settings } = load({});
    const auth = { kind: 'one_key', sha256: 'x' } as const;
    const { changes } = report({
      more: { settings: { ...settings, clients: { ...settings.clients, auth } } },
    });
    assert.deepEqual(
      changes.map(({ key, how }) => [key, how]),
      [['api_keys', 'adopted']],
    );
  });

  it('puts all of it into one line', () => {
    const { text } = report({
      to: { requestTimeoutSecs: 5, port: 1, circuitBreaker: { failureThreshold: 1 }, policy: 'random' },
    });
    assert.equal(
      text,
      'applied: request_timeout_secs; adopted: circuit_breaker.failure_threshold; reset: policy; not in force before a restart: port',
    );
  });
});
