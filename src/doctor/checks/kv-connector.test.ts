import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { configFromOptions } from '../../config/load/load.ts';
import type { WorkerClient } from '../../engines/client.ts';
import { expectedOf } from '../expected.ts';
import type { Finding } from '../finding.ts';
import { Patient } from '../patient.ts';
import { Turns } from '../turns.ts';
import { kvConnector } from './kv-connector.ts';

/** What the check says of a prefill worker that answers with these parameters. */
function examine(prefill: string, decode: string, params: object): Promise<Finding> {
  const loaded = configFromOptions({
    workers: [
      { url: prefill, workerType: 'prefill' },
      { url: decode, workerType: 'decode' },
    ],
  });
  assert.ok(loaded.kind === 'ok');
  const { settings } = loaded;
  const [spec] = settings.workers;
  assert.ok(spec);
  const answer = {
    choices: [{}],
    kv_transfer_params: params,
    usage: { prompt_tokens: 33, completion_tokens: 1 },
  };
  const client: WorkerClient = {
    send(_, sink) {
      sink.onHead(200, 'OK', []);
      sink.onData(Buffer.from(JSON.stringify(answer)));
      sink.onEnd([]);
      return { pause: () => undefined, resume: () => undefined, abort: () => undefined };
    },
    close: () => undefined,
  };
  const never = (): never => {
    throw new Error('nothing is asked here');
  };
  const patient = new Patient({
    ...{ spec, client, expected: expectedOf(settings), clock: new VirtualClock(), random: seededRandom(1) },
    ...{ text: never, lmcache: never, open: never, askBootstrap: never },
    ...{ fleet: settings.workers, turns: new Turns(), timeoutMs: 1000 },
  });
  return kvConnector.run(patient, new AbortController().signal);
}

describe('the side channel that a prefill worker tells of', () => {
  const local = { remote_host: 'localhost', remote_port: 5600 };

  it('is wrong where a decode worker on another host would find itself there', async () => {
    const { mark, text, remedy } = await examine('http://10.0.0.1:8000', 'http://10.0.0.2:8000', local);
    assert.equal(mark, 'fail');
    assert.match(text, /localhost:5600, where http:\/\/10\.0\.0\.2:8000 finds itself/);
    assert.match(remedy ?? '', /VLLM_NIXL_SIDE_CHANNEL_HOST.* 10\.0\.0\.1\./);
  });

  it('is right on one host, and where it can be reached', async () => {
    for (const [prefill, decode, host] of [
      ['http://10.0.0.1:8000', 'http://10.0.0.1:8001', 'localhost'],
      ['http://127.0.0.1:8000', 'http://10.0.0.2:8000', 'localhost'],
      ['http://10.0.0.1:8000', 'http://10.0.0.2:8000', '10.0.0.1'],
    ] as const) {
      const { mark } = await examine(prefill, decode, { ...local, remote_host: host });
      assert.equal(mark, 'ok', prefill);
    }
  });

  it('is warned of where the answer does not say it', async () => {
    const { mark } = await examine('http://10.0.0.1:8000', 'http://10.0.0.2:8000', { remote_host: 7 });
    assert.equal(mark, 'warn');
  });
});
