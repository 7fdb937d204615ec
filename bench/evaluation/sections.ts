/** One run of `vllm-router simulate`, as its arguments. `TRACE` stands for the recorded trace. */
export interface Setting {
  /** How the rows of this setting are called; empty where a section has but one. */
  readonly label: string;
  readonly args: readonly string[];
}

/** One table of the page, between `<!-- begin ID -->` and `<!-- end ID -->`. */
export interface Section {
  readonly id: string;
  /** `loads`: every policy at several arrival rates. `rows`: some policies in several settings. */
  readonly layout: 'loads' | 'rows';
  readonly settings: readonly Setting[];
}

const SEEDS = '--seeds 5';
const LEADERS = '--policies cache_aware,least_work,lmetric_product,dynamo_cost,llm_d_default';
/** The recorded trace on 8 workers near its knee: where the sweeps look. */
const KNEE = '--trace TRACE --requests 4000 --speed 1.2';
const AGENTS = '--generate agents --requests 3000 --speed 0.7';

function setting(label: string, ...parts: readonly string[]): Setting {
  return { label, args: parts.join(' ').split(' ') };
}

function loads(id: string, ...parts: readonly string[]): Section {
  return { id, layout: 'loads', settings: [setting('', ...parts, SEEDS, '--policies all')] };
}

function rows(id: string, ...settings: readonly (readonly [string, ...string[]])[]): Section {
  return {
    id,
    layout: 'rows',
    settings: settings.map(([label, ...parts]) => setting(label, ...parts, SEEDS)),
  };
}

/** Policies that go by the caches, with them known in different ways. */
function known(
  workload: string,
  flags: string,
  ways: readonly (readonly [label: string, knowledge: string])[],
): readonly (readonly [string, ...string[]])[] {
  return ways.map(([label, knowledge]) => [
    `${workload}: ${label}`,
    flags,
    `--cache-knowledge ${knowledge} --policies least_work,kv_aware`,
  ]);
}

const AGAINST_EVENTS = [
  ['predicted', 'predicted'],
  ['events', 'events'],
] as const;

const PAIR_WORKLOADS = [
  ['trace @0.8', '--trace TRACE --requests 4000 --speed 0.8'],
  ['trace @1.2', KNEE],
  ['poisson_chats @0.7', '--generate poisson_chats --requests 3000 --speed 0.7'],
  ['poisson_chats @1.4', '--generate poisson_chats --requests 3000 --speed 1.4'],
  ['bursty_chats @0.7', '--generate bursty_chats --requests 3000 --speed 0.7'],
  ['shared_prefix @0.7', '--generate shared_prefix --requests 3000 --speed 0.7'],
  ['agents @0.5', '--generate agents --requests 3000 --speed 0.5'],
] as const;

/** Eight engines, as they may be parted into those that compute prompts and those that answer. */
const SHAPES = ['4+4', '2+6', '6+2'] as const;

function shaped(shape: (typeof SHAPES)[number]): string {
  const [prefill = '', decode = ''] = shape.split('+');
  return `--prefill ${prefill} --decode ${decode}`;
}

const TRIALS =
  '--policies least_work,expected_ttft,expected_ttft_priced,least_work_eviction,least_work_affinity';

export const SECTIONS: readonly Section[] = [
  loads('conversation-8', '--trace TRACE --requests 4000 --workers 8 --speed 0.8,1.2,1.6'),
  loads('conversation-16', '--trace TRACE --requests 4000 --workers 16 --speed 1.6,2.6,3.3'),
  loads('conversation-64', '--trace TRACE --requests 6000 --workers 64 --speed 6,10,14'),
  loads('poisson-chats', '--generate poisson_chats --requests 3000 --speed 0.7,2.2'),
  loads('bursty-chats', '--generate bursty_chats --requests 3000 --speed 0.7,1.6'),
  loads('shared-prefix', '--generate shared_prefix --requests 3000 --speed 0.7,2'),
  loads('agents', '--generate agents --requests 3000 --speed 0.5,0.8'),
  rows('whole-trace', [
    '',
    '--trace TRACE --speed 1.2 --policies cache_aware,least_work,lmetric_product,dynamo_cost',
  ]),
  rows(
    'polls',
    ...[
      ['never read', '--poll-interval-ms 0'],
      ['every 5 s', ''],
      ['every 5 s, 2 s old', '--poll-delay-ms 2000'],
      ['every 5 s, 20 s old', '--poll-delay-ms 20000'],
    ].map(([label = '', flags = '']) => {
      const parts = [KNEE, flags, '--routers 2', '--policies least_work,lmetric_product,cache_aware'];
      return [label, ...parts.filter((part) => part !== '')] as const;
    }),
  ),
  rows(
    'knowledge',
    ...known('trace', KNEE, [
      ['predicted', 'predicted'],
      ['exact', 'exact'],
      ['events', 'events'],
      ['events 5 s late', 'events --event-delay-ms 5000'],
      ['events, 5% lost', 'events --event-loss 0.05'],
      ['events, 5% lost for good', 'events --event-loss 0.05 --no-event-replay'],
      ['events of half the workers', 'events --silent-workers 4'],
      ['events from the half on', 'events --event-join-ms 600000'],
    ]),
    ...known('agents', AGENTS, [
      ['predicted', 'predicted'],
      ['exact', 'exact'],
      ['events', 'events'],
      ['events, 5% lost for good', 'events --event-loss 0.05 --no-event-replay'],
    ]),
  ),
  rows(
    'pressure',
    ...(
      [
        ['trace, 131,072', `${KNEE} --kv-tokens 131072`],
        ['poisson_chats, 131,072', '--generate poisson_chats --requests 3000 --speed 0.7 --kv-tokens 131072'],
        ['agents, 262,144', '--generate agents --requests 3000 --speed 0.5 --kv-tokens 262144'],
      ] as const
    ).flatMap(([workload, flags]) => known(workload, flags, AGAINST_EVENTS)),
  ),
  rows(
    'tiers',
    ...(
      [
        ['trace', `${KNEE} --kv-tokens 131072 --cpu-tokens 1048576`],
        ['trace, slow', `${KNEE} --kv-tokens 131072 --cpu-tokens 1048576 --cpu-load-rate 20000`],
        ['agents', '--generate agents --requests 3000 --speed 0.5 --kv-tokens 131072 --cpu-tokens 1048576'],
      ] as const
    ).flatMap(([workload, flags]) => known(workload, flags, AGAINST_EVENTS)),
  ),
  rows(
    'routers',
    ...[1, 2, 4].flatMap((count) => [
      [`trace: ${String(count)}`, KNEE, `--routers ${String(count)}`, LEADERS] as const,
      [`agents: ${String(count)}`, AGENTS, `--routers ${String(count)}`, LEADERS] as const,
    ]),
  ),
  rows(
    'unequal',
    ['trace: 1, 1, 2', '--trace TRACE --requests 4000 --speed 1.5 --worker-speeds 1,1,2', LEADERS],
    ['trace: 0.5, 1, 2', '--trace TRACE --requests 4000 --speed 1.2 --worker-speeds 0.5,1,2', LEADERS],
    ['agents: 0.5, 1, 2', AGENTS, '--worker-speeds 0.5,1,2', LEADERS],
  ),
  rows('kill', ['', '--trace TRACE --requests 4000 --speed 0.9 --kill 3@300', LEADERS]),
  rows(
    'pairs',
    ...PAIR_WORKLOADS.flatMap(([label, workload]): (readonly [string, ...string[]])[] => [
      [`${label}: 8 whole`, workload, '--policies least_work'],
      ...SHAPES.map(
        (shape) => [`${label}: ${shape}`, workload, shaped(shape), '--split auto,always,never'] as const,
      ),
    ]),
  ),
  rows(
    'pair-links',
    ...[400, 100, 25, 5].map(
      (gbits) =>
        [
          `${String(gbits)} Gbit/s`,
          ...[KNEE, shaped('2+6'), '--split auto,always,never', `--link-gbits ${String(gbits)}`],
        ] as const,
    ),
  ),
  rows(
    'trials',
    ['trace', KNEE, TRIALS],
    ['trace, beyond', '--trace TRACE --requests 4000 --speed 1.6', TRIALS],
    ['trace, speeds 1, 1, 2', '--trace TRACE --requests 4000 --speed 1.5 --worker-speeds 1,1,2', TRIALS],
    ['trace, 64 workers', '--trace TRACE --requests 6000 --workers 64 --speed 10', TRIALS],
    ['poisson_chats', '--generate poisson_chats --requests 3000 --speed 2.2', TRIALS],
    ['bursty_chats', '--generate bursty_chats --requests 3000 --speed 1.6', TRIALS],
    ['shared_prefix, light', '--generate shared_prefix --requests 3000 --speed 0.7', TRIALS],
    ['shared_prefix', '--generate shared_prefix --requests 3000 --speed 2', TRIALS],
    ['agents', AGENTS, TRIALS],
    ['agents, speeds 0.5, 1, 2', AGENTS, '--worker-speeds 0.5,1,2', TRIALS],
  ),
];
