import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSimFlags } from './parse-flags.ts';

function workersOf(...argv: string[]) {
  const flags = parseSimFlags(argv);
  assert.equal(flags.kind, 'workers', JSON.stringify(flags));
  return flags.kind === 'workers' ? flags.workers : [];
}

describe('sim flags', () => {
  it('makes workers on consecutive ports with seeds of their own', () => {
    const workers = workersOf('--count', '3', '--port=9000', '--seed', '5');
    assert.deepEqual(
      workers.map(({ port, seed }) => [port, seed]),
      [
        [9000, 5],
        [9001, 6],
        [9002, 7],
      ],
    );
  });

  it('takes any free ports for port 0', () => {
    assert.deepEqual(
      workersOf('--count', '2', '--port', '0').map(({ port }) => port),
      [0, 0],
    );
  });

  it('collects what may be given again, and sets the engine', () => {
    const [worker] = workersOf(
      '--model',
      'a',
      '--served-model-name',
      'b',
      '--max-num-seqs',
      '8',
      '--no-prefix-caching',
    );
    assert.deepEqual(worker?.models, ['a', 'b']);
    assert.deepEqual(worker?.model, { maxRunning: 8, prefixCaching: false });
  });

  it('gives faults to all workers or to one', () => {
    const workers = workersOf(
      '--count',
      '2',
      '--fault',
      'delay:ms=5',
      '--fault',
      '2:status:code=503,rate=0.5',
    );
    assert.deepEqual(
      workers.map(({ faults }) => faults),
      [['delay:ms=5'], ['delay:ms=5', 'status:code=503,rate=0.5']],
    );
  });

  it('gives every rank of every worker ports of its own for cache events', () => {
    const portsOf = (...argv: string[]): unknown[] =>
      workersOf('--kv-events', '--count', '2', '--data-parallel-size', '2', ...argv).map(({ kvEvents }) =>
        typeof kvEvents === 'object' ? [kvEvents.port, kvEvents.replayPort] : kvEvents,
      );
    assert.deepEqual(portsOf(), [
      [5557, 5561],
      [5559, 5563],
    ]);
    assert.deepEqual(portsOf('--kv-events-port', '7000', '--kv-replay-port', '8000'), [
      [7000, 8000],
      [7002, 8002],
    ]);
    assert.deepEqual(portsOf('--kv-events-port', '0', '--kv-replay-port', 'none'), [
      [0, 'none'],
      [0, 'none'],
    ]);
    const [worker] = workersOf(
      '--kv-events',
      '--kv-hashes',
      'bytes',
      '--hash-seed',
      '0',
      '--cpu-offload-blocks',
      '9',
    );
    assert.deepEqual(worker?.kvEvents, { hashes: 'bytes', hashSeed: '0', port: 5557, replayPort: 5558 });
    assert.equal(worker.model?.cpuBlocks, 9);
    assert.deepEqual(
      workersOf().map(({ kvEvents }) => kvEvents),
      [false],
    );
  });

  it('gives every worker a port and an engine of its own for who asks for KV cache', () => {
    const told = (...argv: string[]): unknown[] =>
      workersOf('--count', '2', ...argv).map(({ role, kvConnector, kvTransfer }) => [
        ...[role, kvConnector, kvTransfer?.sidePort, kvTransfer?.engineId],
      ]);
    assert.deepEqual(told('--role', 'prefill'), [
      ['prefill', undefined, 0, undefined],
      ['prefill', undefined, 0, undefined],
    ]);
    assert.deepEqual(told('--kv-connector', 'nixl-push', '--kv-engine-id', 'e'), [
      [undefined, 'nixl-push', 5600, 'e'],
      [undefined, 'nixl-push', 5601, 'e-1'],
    ]);
    assert.deepEqual(told('--role', 'prefill', '--kv-connector', 'mooncake', '--kv-side-port', '7000'), [
      ['prefill', 'mooncake', 7000, undefined],
      ['prefill', 'mooncake', 7001, undefined],
    ]);
    assert.deepEqual(told(), [
      [undefined, undefined, undefined, undefined],
      [undefined, undefined, undefined, undefined],
    ]);
  });

  for (const [argv, message] of [
    [['--kv-bytes-per-token', '9'], /^--kv-bytes-per-token: only with --role or --kv-connector$/],
    [['--fault', 'pd_reject'], /^--fault pd_reject: only with --role or --kv-connector$/],
    [['--role', 'prefil'], /expected prefill, decode, both/],
    [['--kv-connector', 'sglang'], /--kv-connector sglang: expected --role prefill or --role decode/],
    [['--role', 'prefill', '--proxy-address', 'x'], /expected host:port/],
    [['--kv-hashes', 'int'], /^--kv-hashes: only with --kv-events$/],
    [['--fault', 'kv_lose'], /^--fault kv_lose: only with --kv-events$/],
    [['--kv-events', '--kv-events-encoding', 'xml'], /expected map or array/],
    [
      ['--kv-events', '--count', '4', '--kv-replay-port', '5560'],
      /within the ports from --kv-events-port on/,
    ],
    [['--kv-events', '--count', '4', '--kv-events-port', '65533'], /--kv-events-port: not enough ports/],
    [['--prot', '1'], /unknown argument --prot/],
    [['extra'], /unknown argument extra/],
    [['--port'], /--port: expected PORT/],
    [['--port', '70000'], /--port 70000: expected a whole number from 0 to 65535/],
    [['--count', '1.5'], /whole number/],
    [['--time-scale', '-1'], /from 0 to 1000/],
    [['--reply', 'sing'], /words or echo/],
    [['--no-dev-mode=yes'], /takes no value/],
    [['--fault', 'explode'], /^--fault explode: unknown fault "explode", expected one of refuse, /],
    [['--fault', 'rest'], /kv_late_replay; did you mean reset\?$/],
    [['--fault', '3:hang', '--count', '2'], /no worker 3/],
    [['--port', '65535', '--count', '2'], /not enough ports/],
    [['--uds', '/tmp/x', '--count', '2'], /one worker only/],
    [['--max-model-len', '1000000'], /--max-model-len/],
    [['--ssl-keyfile', '/x'], /go together/],
    [['--ssl-keyfile', '/no', '--ssl-certfile', '/no'], /ENOENT/],
  ] as const) {
    it(`refuses ${argv.join(' ')}`, () => {
      const flags = parseSimFlags(argv);
      assert.equal(flags.kind, 'error');
      if (flags.kind === 'error') assert.match(flags.message, message);
    });
  }
});
