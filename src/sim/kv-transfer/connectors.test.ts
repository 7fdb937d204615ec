import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decode as unpack } from '@msgpack/msgpack';
import { eventually } from '../../../test/support/fleet.ts';
import { ask, keptBy, newPrompt, startPair, type SimPair } from '../../../test/support/sim-pair.ts';
import { showEndpoint, type Endpoint } from '../../zmtp/endpoint.ts';
import { bindPull } from '../../zmtp/pull.ts';
import { RouterSocket } from '../../zmtp/router.ts';
import { simClock } from '../engine/sim-clock.ts';
import { startSimWorker } from '../server/server.ts';

const LOOPBACK: Endpoint = { kind: 'tcp', host: '127.0.0.1', port: 0 };

function addressOf(endpoint: Endpoint): string {
  return showEndpoint(endpoint).slice('tcp://'.length);
}

const hits = ({ decode }: SimPair): number => decode.model.stats.externalCacheHits;

async function queried({ prefill }: SimPair): Promise<Record<string, { readonly engine_id: string }>> {
  const response = await fetch(`http://127.0.0.1:${String(prefill.kvTransfer?.port)}/query`);
  // Its shape is what the test looks at.
  return (await response.json()) as Record<string, { readonly engine_id: string }>;
}

describe('a pair over Mooncake', () => {
  const toPrefill = (transfer_id: string) => ({
    do_remote_decode: true,
    do_remote_prefill: false,
    transfer_id,
  });
  const toDecode = async (pair: SimPair, transfer_id: string) => ({
    ...{ do_remote_decode: false, do_remote_prefill: true, transfer_id },
    remote_bootstrap_addr: `http://127.0.0.1:${String(pair.prefill.kvTransfer?.port)}`,
    remote_engine_id: (await queried(pair))['0']?.engine_id,
  });

  it('meets whoever comes first, and has other engine ids after a restart', async () => {
    await using pair = await startPair({ kvConnector: 'mooncake' });
    const prompt = newPrompt();
    const waiting = ask(pair.decode, {
      prompt,
      max_tokens: 2,
      kv_transfer_params: await toDecode(pair, 'xfer-1'),
    });
    await eventually(() => pair.decode.model.waiting === 1);
    const first = await ask(pair.prefill, { prompt, max_tokens: 1, kv_transfer_params: toPrefill('xfer-1') });
    assert.deepEqual([first.status, first.body.kv_transfer_params], [200, null]);
    assert.equal((await waiting).status, 200);
    assert.equal(hits(pair), first.body.usage.prompt_tokens);

    const stale = await toDecode(pair, 'xfer-2');
    await pair.prefill.setFaults(['pd_die:times=1']);
    await ask(pair.prefill, { prompt: newPrompt(), max_tokens: 1 });
    await eventually(() => pair.prefill.faults.some(({ kind }) => kind === 'refuse'));
    await pair.prefill.setFaults([]);
    assert.notEqual((await queried(pair))['0']?.engine_id, stale.remote_engine_id);
    assert.equal((await ask(pair.decode, { prompt: newPrompt(), kv_transfer_params: stale })).status, 500);
  });

  it('waits for ever for a prompt that nobody computes, until its client leaves', async () => {
    await using pair = await startPair({ kvConnector: 'mooncake' });
    const leaving = new AbortController();
    const body = { prompt: newPrompt(), kv_transfer_params: await toDecode(pair, 'xfer-1') };
    const left = assert.rejects(ask(pair.decode, body, { signal: leaving.signal }));
    await eventually(() => pair.decode.model.waiting === 1);
    await pair.prefill.setFaults(['refuse']);
    assert.equal(pair.decode.model.waiting, 1);
    leaving.abort();
    await left;
    await eventually(() => pair.decode.model.cache.used === 0);
  });

  it('has nobody to ask while the bootstrap server is down', async () => {
    await using pair = await startPair({ kvConnector: 'mooncake' });
    const params = await toDecode(pair, 'xfer-1');
    await pair.prefill.setFaults(['pd_side_down']);
    await assert.rejects(queried(pair));
    assert.equal((await ask(pair.decode, { prompt: newPrompt(), kv_transfer_params: params })).status, 500);
  });
});

describe('pairs whose addresses stand in the request id', () => {
  const idOf = (prefill: string, decode: string): string =>
    `___prefill_addr_${prefill}___decode_addr_${decode}_${'0a'.repeat(16)}`;
  const zmqOf = ({ kvTransfer }: SimPair['prefill']): string => `127.0.0.1:${String(kvTransfer?.port)}`;

  it('P2P-NCCL: the id is what both call the prompt by', async () => {
    await using pair = await startPair({ kvConnector: 'p2p-nccl' });
    const prompt = newPrompt();
    const id = idOf(zmqOf(pair.prefill), zmqOf(pair.decode));
    const first = await ask(pair.prefill, { prompt, max_tokens: 1 }, { id });
    assert.equal((await ask(pair.decode, { prompt, max_tokens: 2 }, { id })).status, 200);
    assert.equal(hits(pair), first.body.usage.prompt_tokens);
    await eventually(() => keptBy(pair.prefill) === 0);
  });

  it('P2P-NCCL: with chance behind the ids nothing is found, and the decode worker hangs', async () => {
    await using pair = await startPair({ kvConnector: 'p2p-nccl', kvTransfer: { randomRequestIds: true } });
    const prompt = newPrompt();
    const id = idOf(zmqOf(pair.prefill), zmqOf(pair.decode));
    await ask(pair.prefill, { prompt, max_tokens: 1 }, { id });
    const leaving = new AbortController();
    const left = assert.rejects(ask(pair.decode, { prompt }, { id, signal: leaving.signal }));
    await eventually(() => pair.decode.model.waiting === 1);
    assert.equal(keptBy(pair.prefill), 1);
    leaving.abort();
    await left;
  });

  for (const transferMode of ['READ', 'WRITE'] as const)
    it(`MoRI-IO, ${transferMode}`, async () => {
      await using pair = await startPair({ kvConnector: 'moriio', kvTransfer: { transferMode } });
      const zmq = ({ kvTransfer }: SimPair['prefill']): string =>
        [
          'host:127.0.0.1',
          `handshake:${String(kvTransfer?.port)}`,
          `notify:${String(kvTransfer?.port)}`,
        ].join(',');
      const prompt = newPrompt();
      const id = idOf(zmq(pair.prefill), zmq(pair.decode));
      const keep = { do_remote_decode: true, do_remote_prefill: false, transfer_id: 'tx-1' };
      const first = await ask(pair.prefill, { prompt, max_tokens: 1, kv_transfer_params: keep }, { id });
      const told = first.body.kv_transfer_params;
      assert.deepEqual([told.transfer_id, told.do_remote_prefill], ['tx-1', true]);
      const write = { do_remote_decode: false, do_remote_prefill: true, transfer_id: 'tx-1' };
      const params = transferMode === 'READ' ? told : write;
      const { status } = await ask(
        pair.decode,
        { prompt, max_tokens: 2, kv_transfer_params: params },
        { id },
      );
      assert.equal(status, 200);
      assert.equal(hits(pair), first.body.usage.prompt_tokens);
    });

  it('tell the router where they are', async () => {
    const heard: unknown[] = [];
    const router = await RouterSocket.bind(LOOPBACK, { clock: simClock }, (frames) => {
      const last = frames.at(-1);
      if (last) heard.push(unpack(last));
    });
    const proxyAddress = addressOf(router.endpoint);
    const kvTransfer = { proxyAddress, transferMode: 'WRITE' } as const;
    await using nccl = await startSimWorker({ role: 'prefill', kvConnector: 'p2p-nccl', kvTransfer });
    await eventually(() => heard.length === 1);
    await using moriio = await startSimWorker({ role: 'decode', kvConnector: 'moriio', kvTransfer });
    await eventually(() => heard.length >= 2);
    const [ncclPort, moriPort] = [nccl, moriio].map((worker) => String(worker.kvTransfer?.port));
    assert.deepEqual(heard.slice(0, 2), [
      { type: 'P', http_address: `127.0.0.1:${nccl.port}`, zmq_address: `127.0.0.1:${ncclPort}` },
      {
        ...{
          type: 'D',
          http_address: `127.0.0.1:${moriio.port}`,
          dp_size: 1,
          tp_size: 1,
          transfer_mode: 'WRITE',
        },
        zmq_address: `host:127.0.0.1,handshake:${moriPort},notify:${moriPort}`,
      },
    ]);
    await router.close();
  });
});

describe('pairs that find blocks by what is in them', () => {
  it('LMCache: they are sent to the receiver, and each rank says so', async () => {
    const heard: unknown[] = [];
    const pull = await bindPull(LOOPBACK, { clock: simClock }, ([frame]) => {
      if (frame) heard.push(unpack(frame));
    });
    const proxyAddress = addressOf(pull.endpoint);
    await using pair = await startPair({ kvConnector: 'lmcache', kvTransfer: { proxyAddress } });
    const port = pair.decode.kvTransfer?.port;
    const disagg_spec = {
      ...{ req_id: 'r-9', receiver_host: '127.0.0.1' },
      ...{ receiver_init_port: [port, port], receiver_alloc_port: [port, port] },
    };
    const prompt = newPrompt();
    const params = { ret_first_tok: true, disagg_spec };
    const first = await ask(pair.prefill, { prompt, max_tokens: 1, kv_transfer_params: params });
    assert.equal(typeof first.body.kv_transfer_params.first_tok, 'number');
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard[0], { type: 'ProxyNotif', req_id: 'r-9' });
    assert.equal((await ask(pair.decode, { prompt, max_tokens: 2 })).status, 200);
    assert.equal(hits(pair), Math.floor((first.body.usage.prompt_tokens - 1) / 16) * 16);
    await pull.close();
  });

  it('a storage: whatever one has computed all have', async () => {
    await using pair = await startPair({ kvConnector: 'storage' });
    const prompt = newPrompt();
    const first = await ask(pair.prefill, { prompt, max_tokens: 1 });
    assert.equal((await ask(pair.decode, { prompt, max_tokens: 2 })).status, 200);
    assert.equal(hits(pair), Math.floor((first.body.usage.prompt_tokens - 1) / 16) * 16);
  });
});

describe('a pair over SGLang', () => {
  it('meets in the room that both are told, and neither answers without the other', async () => {
    await using pair = await startPair({ kvConnector: 'sglang' });
    const { port } = pair.prefill.kvTransfer ?? {};
    const body = {
      ...{ prompt: newPrompt(), max_tokens: 2 },
      ...{ bootstrap_host: '127.0.0.1', bootstrap_port: port, bootstrap_room: 42 },
    };
    const first = ask(pair.prefill, { ...body, max_tokens: 1 });
    await eventually(() => keptBy(pair.prefill) === 1);
    assert.equal(await Promise.race([first, Promise.resolve('none yet')]), 'none yet');
    assert.equal((await ask(pair.decode, body)).status, 200);
    const { status, body: answer } = await first;
    assert.deepEqual([status, hits(pair)], [200, answer.usage.prompt_tokens]);
  });
});
