import * as z from 'zod';
import { count, key, secs } from './field.ts';

const cacheThreshold = key(z.number().min(0).max(1).default(0.3), {
  group: 'Policy',
  flags: ['--cache-threshold'],
  about: 'The warmest worker is preferred when more than this share of the prompt is cached there.',
});
const balanceAbsThreshold = key(count(0).default(64), {
  group: 'Policy',
  flags: ['--balance-abs-threshold'],
  about: 'Load counts as imbalanced when max - min running requests exceeds this (and the ratio, below).',
});
const balanceRelThreshold = key(z.number().min(1).default(1.5), {
  group: 'Policy',
  flags: ['--balance-rel-threshold'],
  about: 'Load counts as imbalanced when max exceeds this multiple of min (and the difference, above).',
});
const evictionIntervalSecs = key(secs().default(120), {
  group: 'Policy',
  flags: ['--eviction-interval', '--eviction-interval-secs'],
  about: 'Period of the sweep over the predicted prefix index (see cache_index.idle_ttl_secs).',
});
const maxTreeSize = key(count(1).default(67_108_864), {
  group: 'Policy',
  flags: ['--max-tree-size'],
  about: 'Bytes of prompt text kept per worker in the predicted prefix index.',
});
const theta = key(z.number().min(0).default(0.3), {
  group: 'Policy',
  flags: ['--theta'],
  about: 'Weight of the delay that a request causes others, beside its own wait.',
});
const loadCheckIntervalSecs = key(secs().optional(), {
  group: 'Policy',
  flags: [],
  env: false,
  about: 'The place of load_check_interval_secs in older files; give one of the two.',
  defaultText: 'load_check_interval_secs',
});
const virtualNodes = key(count(1).max(65_536).default(160), {
  group: 'Policy',
  flags: ['--virtual-nodes'],
  about: 'Points of each worker on the hash ring.',
});
const loadBound = key(z.number().gt(1).optional(), {
  group: 'Policy',
  flags: ['--load-bound'],
  about: 'Bounded loads: a worker above this multiple of the mean load passes keys on. 1.25 is a good value.',
  defaultText: 'off',
});
const stickyTtlSecs = key(secs().default(1800), {
  group: 'Policy',
  flags: ['--sticky-ttl-secs'],
  about: 'A session stays with its worker until it was silent for this long, even when the ring changes.',
});

/** One object per policy: its parameters and nothing else, so that a parameter which does nothing is refused. */
export const policySchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('random') }),
  z.strictObject({ type: z.literal('round_robin') }),
  z.strictObject({
    type: z.literal('power_of_two'),
    load_check_interval_secs: loadCheckIntervalSecs,
  }),
  z.strictObject({
    type: z.literal('consistent_hash'),
    virtual_nodes: virtualNodes,
    load_bound: loadBound,
    sticky_ttl_secs: stickyTtlSecs,
  }),
  z.strictObject({ type: z.literal('rendezvous_hash'), load_bound: loadBound }),
  z.strictObject({
    type: z.literal('cache_aware'),
    cache_threshold: cacheThreshold,
    balance_abs_threshold: balanceAbsThreshold,
    balance_rel_threshold: balanceRelThreshold,
    eviction_interval_secs: evictionIntervalSecs,
    max_tree_size: maxTreeSize,
  }),
  z.strictObject({
    type: z.literal('least_work'),
    theta,
    eviction_interval_secs: evictionIntervalSecs,
    max_tree_size: maxTreeSize,
  }),
]);

export type PolicyConfig = z.output<typeof policySchema>;
export type PolicyInput = z.input<typeof policySchema>;
export type PolicyName = PolicyConfig['type'];

export const DEFAULT_POLICY: PolicyName = 'least_work';
export const POLICY_ABOUT = 'How a worker is chosen.';
