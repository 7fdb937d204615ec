import { BlockList, isIP } from 'node:net';
import * as z from 'zod';
import { KV_CONNECTORS } from '../settings/pd-settings.ts';
import { count, key, secs, secsOrZero, type KeyMeta } from './field.ts';
import { stagePolicy } from './stage-policy-schema.ts';
import { decodeUrl, prefillUrl } from './stage-urls-schema.ts';

const GROUP = 'Prefill and decode';
const MOST_RANKS = 65_536;

/** Of one prefill worker, and from one worker to one other. More than an engine computes at once in its default settings. */
const DEFAULT_MOST_AT_ONCE = 256;

const listenAddress = z
  .string()
  .regex(
    /^(tcp:\/\/)?(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d+$/,
    'expected host:port to listen on: 0.0.0.0:30001',
  )
  .refine((value) => portOf(value) > 0 && portOf(value) < 65_536, 'expected a port from 1 to 65535');

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

const network = z.string().refine(isNetwork, 'expected a network as CIDR, e.g. 10.0.0.0/8 or fd00::/8');

function isNetwork(value: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(value) ?? [];
  const version = isIP(address);
  if (version === 0) return false;
  try {
    new BlockList().addSubnet(address, Number(bits), version === 4 ? 'ipv4' : 'ipv6');
    return true;
  } catch {
    return false;
  }
}

/** Where files of other routers have a key. */
function oldPlace<S extends z.ZodType>(schema: S, present: string, more: Partial<KeyMeta> = {}): S {
  const about = `The place of ${present} in older files; give one of the two.`;
  return key(schema, { group: GROUP, flags: [], env: false, about, defaultText: 'none', ...more });
}

const stagePolicyKey = (stage: 'prefill' | 'decode') =>
  key(stagePolicy.optional(), {
    group: GROUP,
    about: `How the ${stage} worker of a request that is split is chosen: a policy as under policy, or pair_cost.`,
    value: 'NAME',
    defaultText: "the model's own policy; policy, where it is set; else pair_cost",
  });

const ranks = (stage: 'prefill' | 'decode') =>
  key(count(1).max(MOST_RANKS).optional(), {
    group: GROUP,
    about: `The same as intra_node_data_parallel_size, for ${stage} workers.`,
    defaultText: 'intra_node_data_parallel_size',
  });

/** Requests whose prompt one worker computes and another one goes on with. */
export const pdKeys = {
  prefill_urls: key(z.array(prefillUrl).default([]), {
    group: GROUP,
    flags: ['--prefill'],
    about:
      'Workers that compute prompts. With its bootstrap port (Mooncake, SGLang) an entry is [URL, port] or {url, bootstrap_port}; behind the flag, which may be repeated, the port or none follows the URL. Entries of workers with worker_type prefill say more.',
    value: 'URL [PORT|none]',
    defaultText: 'none',
  }),
  decode_urls: key(z.array(decodeUrl).default([]), {
    group: GROUP,
    flags: ['--decode'],
    about: 'Workers that go on from what prefill workers have computed. They serve whole requests as well.',
    value: 'URL',
    defaultText: 'none',
  }),
  prefill_data_parallel_size: ranks('prefill'),
  decode_data_parallel_size: ranks('decode'),
  prefill_policy: stagePolicyKey('prefill'),
  decode_policy: stagePolicyKey('decode'),
  pd: z
    .strictObject({
      kv_connector: key(z.enum(KV_CONNECTORS).default('auto'), {
        group: GROUP,
        flags: ['--kv-connector'],
        about:
          'How KV blocks get from one worker to the other: the KV connector of the engines. auto: by what is known of the workers, else nixl; with mode.type prefill_decode sglang.',
        value: 'NAME',
      }),
      split: key(z.union([count(0), z.enum(['always', 'auto', 'never'])]).optional(), {
        group: GROUP,
        about:
          'Which requests a pair serves: always; never; auto: those that are expected to be answered sooner so; a number: those with at least as many tokens that no cache is expected to hold.',
        defaultText: 'auto; always where a policy is set for prefill or decode',
      }),
      fallback: key(z.enum(['whole', 'none']).default('whole'), {
        group: GROUP,
        about:
          'What becomes of a request for which no pair works: a decode worker serves it whole, or it fails.',
      }),
      client_params: key(z.enum(['refuse', 'drop']).default('refuse'), {
        group: GROUP,
        about:
          "A client's own kv_transfer_params in a request that could be split: 400, or they are taken out. They are never followed.",
      }),
      prefill_timeout_secs: key(secsOrZero().default(300), {
        group: GROUP,
        about: 'How long a prefill worker may take to answer; 0 = as long as the request may.',
      }),
      decode_timeout_secs: key(secsOrZero().default(0), {
        group: GROUP,
        about:
          'How long the decode worker of a pair may take to its first byte, which is the whole answer where none is streamed; 0 = as long as the request may.',
      }),
      max_prefills_per_worker: key(count(0).default(DEFAULT_MOST_AT_ONCE), {
        group: GROUP,
        about: 'Prompts that one prefill worker is given at once; 0 = no bound.',
      }),
      max_transfers_per_pair: key(count(0).default(DEFAULT_MOST_AT_ONCE), {
        group: GROUP,
        about:
          'Requests at once whose blocks go from one worker to one other, in each thread of the router; 0 = no bound.',
      }),
      discovery_address: key(listenAddress.optional(), {
        group: GROUP,
        flags: ['--vllm-discovery-address', '--pd-discovery-address'],
        about: 'Listens there for workers that register themselves over ZeroMQ (P2P-NCCL, MoRI-IO).',
        value: 'HOST:PORT',
        defaultText: 'none',
      }),
      discovery_allow: key(z.array(network).default([]), {
        group: GROUP,
        about: 'Networks that the addresses of such workers may lie in.',
        value: 'CIDR',
        defaultText: 'this machine and the networks that it is in',
      }),
      lmcache_notices: key(listenAddress.optional(), {
        group: GROUP,
        about:
          'Listens there for what prefill workers with LMCache tell of blocks that have arrived (pd_proxy_host and pd_proxy_port of LMCache).',
        value: 'HOST:PORT',
        defaultText: 'none',
      }),
      lmcache_notice_timeout_secs: key(secs().default(5), {
        group: GROUP,
        about: 'How long a request waits for that; then its decode worker computes what has not arrived.',
      }),
      profile: key(z.boolean().default(false), {
        group: GROUP,
        flags: ['--profile'],
        about: 'Has both workers of a pair write a profile of each request: for measurements.',
      }),
      profile_timeout_secs: key(secs().default(10), {
        group: GROUP,
        about: 'A profile is ended after this long, whatever its request does.',
      }),
    })
    .prefault({}),
  enable_profiling: oldPlace(z.boolean().optional(), 'pd.profile'),
  profile_timeout_secs: oldPlace(secs().optional(), 'pd.profile_timeout_secs'),
};

/** Modes of other routers, with the workers that they have in them. */
export const pdModeKeys = {
  prefill_urls: oldPlace(z.array(prefillUrl).optional(), 'prefill_urls'),
  decode_urls: oldPlace(z.array(decodeUrl).optional(), 'decode_urls'),
  prefill_policy: oldPlace(stagePolicy.optional(), 'prefill_policy'),
  decode_policy: oldPlace(stagePolicy.optional(), 'decode_policy'),
  discovery_address: oldPlace(listenAddress.optional(), 'pd.discovery_address'),
};
