import * as z from 'zod';
import { CACHE_KNOWLEDGE } from '../settings/cache-knowledge.ts';
import { bearerKey, count, key, milliseconds, secs, type KeyMeta } from './field.ts';
import { controllerUrl, workerMap } from './lmcache-schema.ts';

/** Those that need nothing but their name. */
const FALLBACK_POLICIES = [
  ...(['random', 'round_robin', 'power_of_two', 'consistent_hash', 'rendezvous_hash'] as const),
  ...(['cache_aware', 'least_work'] as const),
] as const;

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

const cacheKnowledge = key(z.enum(CACHE_KNOWLEDGE).optional(), {
  group: 'Policy',
  flags: [],
  env: false,
  about: 'The same as cache_knowledge, for the models of this policy alone.',
  defaultText: 'cache_knowledge',
});
const blockSize = key(count(1).max(65_536).default(16), {
  group: 'Policy',
  flags: ['--kv-block-size'],
  about: 'Tokens of the blocks that are counted: those of the engines.',
});
const weight = (medium: 'gpu' | 'cpu' | 'disk', place: string, value: number) =>
  key(z.number().min(0).default(value), {
    group: 'Policy',
    flags: [`--kv-medium-${medium}-weight`],
    about: `What a block counts for that lies ${place}.`,
  });
const mediumWeights = z
  .strictObject({
    gpu: weight('gpu', 'in the memory of a GPU', 1),
    cpu: weight('cpu', 'in the memory of a CPU', 0.3),
    disk: weight('disk', 'on a disk', 0.05),
  })
  .prefault({});
const enableSpeculative = key(z.boolean().default(true), {
  group: 'Policy',
  about: 'A prompt counts as held by the worker that it was sent to, before its events say so.',
  flags: ['--enable-speculative'],
});
const speculativeTtlMs = key(milliseconds().default(2000), {
  group: 'Policy',
  about: 'For how long it does.',
  flags: ['--speculative-ttl-ms'],
});
const loadBounded = key(z.boolean().default(true), {
  group: 'Policy',
  flags: ['--load-bounded'],
  about:
    'Passes over the worker that holds most where its queue costs more than that saves; false: it always wins.',
});
/** Keys that older files have among the parameters of the policy. */
function oldPlace<S extends z.ZodType>(schema: S, present: string, more: Partial<KeyMeta> = {}): S {
  const about = `The place of ${present} in older files; give one of the two.`;
  return key(schema, { group: 'Policy', flags: [], env: false, about, defaultText: present, ...more });
}

const lookupMode = key(z.enum(['occupancy', 'prefix_lookup']).default('occupancy'), {
  group: 'Policy',
  flags: ['--lmcache-lookup-mode'],
  about:
    'occupancy: the worker that stores much and has little to do. prefix_lookup: the one that stores most of the prompt, else as before.',
});
const cacheWeight = key(z.number().min(0).max(1).default(0.7), {
  group: 'Policy',
  flags: ['--lmcache-cache-weight'],
  about: 'Weight of what a worker stores against its load, where much is what counts.',
});
const fallbackPolicy = key(z.enum(FALLBACK_POLICIES).default('power_of_two'), {
  group: 'Policy',
  flags: ['--lmcache-fallback-policy'],
  about: 'Chooses where the controller does not answer, or lists nobody; with its defaults.',
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
    cache_knowledge: cacheKnowledge,
    cache_threshold: cacheThreshold,
    balance_abs_threshold: balanceAbsThreshold,
    balance_rel_threshold: balanceRelThreshold,
    eviction_interval_secs: evictionIntervalSecs,
    max_tree_size: maxTreeSize,
  }),
  z.strictObject({
    type: z.literal('least_work'),
    cache_knowledge: cacheKnowledge,
    theta,
    eviction_interval_secs: evictionIntervalSecs,
    max_tree_size: maxTreeSize,
  }),
  z.strictObject({
    type: z.literal('kv_aware'),
    cache_knowledge: cacheKnowledge,
    block_size: blockSize,
    medium_weights: mediumWeights,
    enable_speculative: enableSpeculative,
    speculative_ttl_ms: speculativeTtlMs,
    load_bounded: loadBounded,
    eviction_interval_secs: evictionIntervalSecs,
    max_tree_size: maxTreeSize,
  }),
  z.strictObject({
    type: z.literal('lmcache_aware'),
    lookup_mode: lookupMode,
    cache_weight: cacheWeight,
    load_bounded: loadBounded,
    fallback_policy: fallbackPolicy,
    controller_url: oldPlace(controllerUrl().optional(), 'lmcache.controller_url', { credentials: true }),
    controller_api_key: oldPlace(bearerKey().optional(), 'lmcache.controller_api_key', { secret: true }),
    poll_interval_secs: oldPlace(secs().optional(), 'lmcache.poll_interval_secs'),
    controller_timeout_ms: oldPlace(milliseconds().optional(), 'lmcache.controller_timeout_ms'),
    lmcache_worker_map: oldPlace(workerMap().optional(), 'lmcache.worker_map'),
  }),
]);

export type PolicyConfig = z.output<typeof policySchema>;
export type PolicyInput = z.input<typeof policySchema>;
export type PolicyName = PolicyConfig['type'];

export const DEFAULT_POLICY: PolicyName = 'least_work';
export const POLICY_ABOUT = 'How a worker is chosen.';
