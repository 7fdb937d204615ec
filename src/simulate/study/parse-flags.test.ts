import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SIMULATE_FLAGS } from './flags.ts';
import { commandLine, madeFrom } from './made-from.ts';
import { SIMULATE_DEFAULTS, type SimulateOptions } from './options.ts';
import { parseSimulateFlags } from './parse-flags.ts';

const optionsOf = (...argv: string[]): SimulateOptions => {
  const parsed = parseSimulateFlags(argv);
  assert.ok(parsed.kind === 'options', JSON.stringify(parsed));
  return parsed.options;
};
const errorOf = (...argv: string[]): string => {
  const parsed = parseSimulateFlags(argv);
  assert.ok(parsed.kind === 'error', JSON.stringify(parsed));
  return parsed.message;
};

/** Every flag with a value other than the default, and what becomes of it. */
const EFFECTS: Readonly<Record<string, readonly [value: string, changed: Partial<SimulateOptions>]>> = {
  '--trace': ['a.jsonl', { trace: { path: 'a.jsonl', format: undefined } }],
  '--generate': ['agents', { generator: 'agents' }],
  '--requests': ['50', { requests: 50 }],
  '--rate': ['2.5', { ratePerSecond: 2.5 }],
  '--speed': ['0.5,2', { speeds: [0.5, 2] }],
  '--strict': ['', { strict: true }],
  '--policies': ['random,vllm_dp', { policies: ['random', 'vllm_dp'] }],
  '--workers': ['3', { workers: 3 }],
  '--worker-speeds': ['1,2', { workerSpeeds: [1, 2] }],
  '--kv-tokens': ['2048', { kvTokens: 2048 }],
  '--cpu-tokens': ['4096', { cpuTokens: 4096 }],
  '--cpu-load-rate': ['1000', { cpuLoadRate: 1000 }],
  '--prefill-rate': ['1000', { prefillRate: 1000 }],
  '--decode-base-ms': ['9', { decodeBaseMs: 9 }],
  '--decode-per-request-ms': ['1', { decodePerRequestMs: 1 }],
  '--routers': ['2', { routers: 2 }],
  '--share-interval-ms': ['20', { shareIntervalMs: 20 }],
  '--kill': ['2@1.5', { kills: [{ worker: 2, atMs: 1500 }] }],
  '--join': ['30', { joins: [30_000] }],
  '--cache-knowledge': ['exact', { knowledge: 'exact' }],
  '--event-delay-ms': ['20', { eventDelayMs: 20 }],
  '--event-loss': ['0.1', { eventLoss: 0.1 }],
  '--no-event-replay': ['', { eventReplay: false }],
  '--event-join-ms': ['500', { eventJoinMs: 500 }],
  '--silent-workers': ['2', { silentWorkers: 2 }],
  '--poll-interval-ms': ['100', { pollIntervalMs: 100 }],
  '--poll-delay-ms': ['50', { pollDelayMs: 50 }],
  '--seeds': ['5', { seeds: 5 }],
  '--slo-ttft-ms': ['1000', { ttftMs: 1000 }],
  '--slo-tpot-ms': ['50', { tpotMs: 50 }],
  '--wide': ['', { wide: true }],
  '--json': ['', { json: true }],
  '--html': ['r.html', { html: 'r.html' }],
};

/** The same for those that mean something beside --prefill and --decode only. */
const OF_PAIRS: Readonly<Record<string, readonly [value: string, changed: Partial<SimulateOptions>]>> = {
  '--split': ['always,never,1024', { splits: ['always', 'never', 1024] }],
  '--prefill-policy': ['least_work', { prefillPolicy: 'least_work' }],
  '--decode-policy': ['round_robin', { decodePolicy: 'round_robin' }],
  '--kv-bytes-per-token': ['65536', { kvBytesPerToken: 65_536 }],
  '--link-gbits': ['400', { linkGbits: 400 }],
};

const PAIRS = ['--prefill', '3', '--decode', '5'];

describe('flags of fleets with pairs', () => {
  it('say how many engines of each there are; beside them there are no others, and their cost chooses', () => {
    const fleet = { prefill: 3, decode: 5, workers: 0, policies: ['pair_cost'] };
    assert.deepEqual(optionsOf(...PAIRS), { ...SIMULATE_DEFAULTS, ...fleet });
    const { workers, policies } = optionsOf(...PAIRS, '--workers', '2', '--policies', 'random');
    assert.deepEqual([workers, policies], [2, ['random']]);
  });

  for (const [name, [text, changed]] of Object.entries(OF_PAIRS)) {
    it(`${name} changes what it says and nothing else, and needs both`, () => {
      assert.deepEqual(optionsOf(...PAIRS, name, text), { ...optionsOf(...PAIRS), ...changed });
      const missing = `${name}: give --prefill and --decode, how many engines of each`;
      assert.equal(errorOf(name, text), missing);
    });
  }

  it('of one kind alone are an error, and so is what is no rule', () => {
    assert.match(errorOf('--prefill', '2'), /^--prefill: give --prefill and --decode/);
    assert.match(errorOf('--decode', '2', '--prefill', '0'), /^--prefill: give/);
    const rules = 'auto, always, never or tokens, with commas between';
    assert.equal(errorOf(...PAIRS, '--split', 'often'), `--split often: expected ${rules}`);
    assert.equal(errorOf(...PAIRS, '--split', '-1'), `--split -1: expected ${rules}`);
  });

  it('are counted with the others where one is killed', () => {
    assert.equal(optionsOf(...PAIRS, '--kill', '8@1').kills.length, 1);
    assert.equal(errorOf(...PAIRS, '--kill', '9@1'), '--kill: there is no worker 9');
  });

  it('are in the command line that means the same', () => {
    for (const [name, [value]] of Object.entries(OF_PAIRS)) {
      const given = optionsOf(...PAIRS, name, value);
      const [, , ...words] = commandLine(given).split(' ');
      assert.deepEqual(optionsOf(...words), { ...given, generator: 'poisson_chats' });
    }
  });
});

describe('flags', () => {
  for (const { name, value } of SIMULATE_FLAGS.filter((flag) => EFFECTS[flag.name] !== undefined)) {
    it(`${name} changes what it says and nothing else`, () => {
      const [text, changed] = EFFECTS[name] ?? assert.fail(`no value for ${name}`);
      const wanted = { ...SIMULATE_DEFAULTS, ...changed };
      assert.notDeepEqual(wanted, SIMULATE_DEFAULTS);
      if (value === undefined) assert.deepEqual(optionsOf(name), wanted);
      else {
        assert.deepEqual(optionsOf(name, text), wanted);
        assert.deepEqual(optionsOf(`${name}=${text}`), wanted);
      }
    });
  }

  it('of which none has been left out here', () => {
    const elsewhere = ['--format', ...Object.keys(OF_PAIRS), '--prefill', '--decode'];
    const known = [...Object.keys(EFFECTS), ...elsewhere].toSorted();
    assert.deepEqual(SIMULATE_FLAGS.map(({ name }) => name).toSorted(), known);
  });

  it('--format goes with --trace, in any order', () => {
    const trace = { path: 'x', format: 'azure' };
    assert.deepEqual(optionsOf('--trace', 'x', '--format', 'azure').trace, trace);
    assert.deepEqual(optionsOf('--format', 'azure', '--trace', 'x').trace, trace);
    assert.equal(errorOf('--format', 'azure'), '--format goes with --trace');
  });

  it('that may be repeated add up', () => {
    assert.equal(optionsOf('--kill', '1@5', '--kill', '2@6', '--join', '1', '--join', '2').kills.length, 2);
    assert.deepEqual(SIMULATE_DEFAULTS.kills, []);
  });

  for (const [argv, expected] of [
    [['--polices', 'x'], 'unknown argument --polices; did you mean --policies?'],
    [['stray'], 'unknown argument stray'],
    [['--workers'], '--workers: expected N'],
    [['--workers', '0'], '--workers: no engine is there'],
    [['--workers', '1.5'], '--workers 1.5: expected a whole number from 0 to 4096'],
    [['--workers', 'many'], '--workers many: expected a whole number from 0 to 4096'],
    [['--workers='], '--workers : expected a whole number from 0 to 4096'],
    [['--seeds', '32'], '--seeds 32: expected a whole number from 1 to 31'],
    [['--speed', '1,,2'], '--speed 1,,2: expected positive numbers with commas between'],
    [['--speed', '0'], '--speed 0: expected positive numbers with commas between'],
    [['--rate', 'Infinity'], '--rate Infinity: expected a number from 0.001 to 1000'],
    [['--event-loss', '1.1'], '--event-loss 1.1: expected a number from 0 to 1'],
    [['--poll-delay-ms', '-1'], '--poll-delay-ms -1: expected a number, at least 0'],
    [
      ['--generate', 'chats'],
      '--generate chats: expected one of poisson_chats, bursty_chats, shared_prefix, agents',
    ],
    [['--format', 'csv'], '--format csv: expected one of mooncake, azure, sharegpt'],
    [['--cache-knowledge', 'x'], '--cache-knowledge x: expected predicted, exact or events'],
    [['--policies', ','], '--policies ,: expected names of policies'],
    [['--kill', '2'], '--kill 2: expected a worker and a time, e.g. 2@60'],
    [['--kill', '9@1'], '--kill: there is no worker 9'],
    [['--join', 'x'], '--join x: expected a time in seconds'],
    [['--trace', 'a.csv', '--generate', 'agents'], '--trace and --generate: give one of the two'],
    [['--trace', ''], '--trace : expected a file'],
    [['--html', ''], '--html : expected a file'],
    [['--json=yes'], '--json takes no value'],
  ] as const) {
    it(`${argv.join(' ')} is an error`, () => {
      assert.equal(errorOf(...argv), expected);
    });
  }

  it('a worker that joins may be killed', () => {
    assert.equal(optionsOf('--workers', '2', '--join', '10', '--kill', '3@20').kills.length, 1);
  });

  it('--help wins over what follows', () => {
    assert.equal(parseSimulateFlags(['--help', '--nonsense']).kind, 'help');
  });
});

describe('what a report was made from', () => {
  it('is a command line that means the same', () => {
    for (const [name, [value]] of Object.entries(EFFECTS)) {
      const given = optionsOf(...(value === '' ? [name] : [name, value]));
      const [, , ...words] = commandLine(given).split(' ');
      const again = optionsOf(...words.map((word) => word.replaceAll("'", '')));
      const generator = given.trace ? undefined : (given.generator ?? 'poisson_chats');
      assert.deepEqual(again, { ...given, generator, wide: false, json: false, html: undefined });
    }
  });

  it('quotes what a shell would take apart', () => {
    const line = commandLine({ ...SIMULATE_DEFAULTS, policies: ['cache_aware:a=1;b=2'] });
    assert.ok(line.includes("--policies 'cache_aware:a=1;b=2'"), line);
  });

  it('names the model, given or not', () => {
    const names = madeFrom(SIMULATE_DEFAULTS).map(([name]) => name);
    for (const name of ['--prefill-rate', '--decode-base-ms', '--kv-tokens', '--cache-knowledge', '--rate'])
      assert.ok(names.includes(name), name);
  });
});
