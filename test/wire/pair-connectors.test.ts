/** Every connector between simulated workers that hand over as vLLM's do on the wire: nothing is computed twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RouterOptions } from '../../src/config/load/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import type { SimKvConnector } from '../../src/sim/kv-transfer/settings.ts';
import { chat } from '../support/chat.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';

type Entry = NonNullable<RouterOptions['workers']>[number];

interface Row {
  readonly connector: SimKvConnector;
  /** What the router is told of the two, beside their URLs; undefined: they say it themselves. */
  readonly entries?: (prefill: SimWorker, decode: SimWorker) => readonly [Partial<Entry>, Partial<Entry>];
  /** Where the router listens, beside HTTP. */
  readonly listens?: (address: string) => RouterOptions['pd'];
}

const portOf = (worker: SimWorker): number => worker.kvTransfer?.port ?? 0;

const ROWS: readonly Row[] = [
  { connector: 'nixl', entries: () => [{}, {}] },
  { connector: 'storage', entries: () => [{}, {}] },
  {
    connector: 'nixl-push',
    entries: (prefill) => [
      {
        kvTransfer: {
          engineId: prefill.kvTransfer?.engineIds[0] ?? '',
          ...{ host: '127.0.0.1', port: portOf(prefill), tpSize: 1, ppSize: 1 },
        },
      },
      {},
    ],
  },
  { connector: 'mooncake', entries: (prefill) => [{ bootstrapPort: portOf(prefill) }, {}] },
  { connector: 'sglang', entries: (prefill) => [{ bootstrapPort: portOf(prefill) }, {}] },
  {
    connector: 'lmcache',
    entries: (_, decode) => {
      const ports = [portOf(decode)];
      return [{}, { kvTransfer: { receiver: { host: '127.0.0.1', initPorts: ports, allocPorts: ports } } }];
    },
    listens: (address) => ({ lmcacheNotices: address }),
  },
  { connector: 'p2p-nccl', listens: (address) => ({ discoveryAddress: address }) },
  { connector: 'moriio', listens: (address) => ({ discoveryAddress: address }) },
];

interface Pair extends AsyncDisposable {
  readonly fleet: Fleet;
  readonly prefill: SimWorker;
  readonly decode: SimWorker;
}

async function startPair({ connector, entries, listens }: Row): Promise<Pair> {
  const proxyAddress = listens && `127.0.0.1:${await freePort()}`;
  const options = {
    ...{ seed: 1, timeScale: 0.05, kvConnector: connector },
    ...(proxyAddress !== undefined && { kvTransfer: { proxyAddress } }),
  };
  const prefill = await startSimWorker({ ...options, role: 'prefill' });
  const decode = await startSimWorker({ ...options, role: 'decode' });
  const [first, second] = entries?.(prefill, decode) ?? [];
  const fleet = await startFleet({
    workers: [],
    waitForWorkers: entries !== undefined,
    router: {
      pd: {
        split: 'always',
        kvConnector: connector,
        ...(proxyAddress !== undefined && listens?.(proxyAddress)),
      },
      ...(entries
        ? {
            workers: [
              { url: prefill.url, workerType: 'prefill' as const, ...first },
              { url: decode.url, workerType: 'decode' as const, ...second },
            ],
          }
        : { mode: { type: 'vllm_prefill_decode' as const } }),
    },
  });
  const isReady = (): boolean => {
    const all = fleet.app.runtime.registry.workers;
    const known = connector !== 'mooncake' || all.some(({ traits }) => traits.kvTransfer?.engineIds);
    return all.length === 2 && known && all.every(({ health }) => health.healthy);
  };
  await eventually(isReady, 20_000);
  return {
    ...{ fleet, prefill, decode },
    async [Symbol.asyncDispose]() {
      await fleet.stop();
      await Promise.all([prefill.stop(), decode.stop()]);
    },
  };
}

describe('a pair of simulated workers', () => {
  for (const row of ROWS)
    it(`hands over through ${row.connector}, in one piece and streamed`, async () => {
      await using pair = await startPair(row);
      const messages = [{ role: 'user', content: 'Blocks go from here to there. '.repeat(60) }];
      for (const stream of [false, true]) {
        const response = await chat(pair.fleet, { messages, stream });
        const text = await response.text();
        assert.equal(response.status, 200, text);
        const { pd, attempts } = await pair.fleet.decision();
        assert.deepEqual(
          {
            split: pd?.split,
            connector: pd?.connector,
            unhanded: pd?.unhanded,
            status: attempts.map((one) => one.status),
          },
          { split: true, connector: row.connector, unhanded: undefined, status: [200, 200] },
        );
        assert.ok(!text.includes('"remote_') && !text.includes('transfer_id'), text);
      }
      const metrics = await (await fetch(`${pair.decode.url}/metrics`)).text();
      const hits = /^vllm:external_prefix_cache_hits_total\{[^}]*\} (\d+)/m.exec(metrics)?.[1];
      assert.ok(Number(hits) > 300, `the decode worker was handed ${hits ?? 'no'} tokens`);
    });
});
