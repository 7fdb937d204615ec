/** The table "What a client sees" of docs/guide/reliability.md, each row brought about and compared. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RouterOptions } from '../src/config/load/options.ts';
import { chat, CHAT, post, readBody, streamChat } from './support/chat.ts';
import { eventually, startFleet, type Fleet } from './support/fleet.ts';
import { sectionOf, tableRows } from './support/pages.ts';

interface Scenario {
  readonly router?: Omit<RouterOptions, 'workerUrls'>;
  /** Faults of the one worker. */
  readonly faults?: readonly string[];
  /** The request whose answer the row is about. */
  readonly ask: (fleet: Fleet) => Promise<Response>;
}

/** Retrying takes place, without the long pauses. */
const QUICKLY = { retry: { initialBackoffMs: 1, maxBackoffMs: 1000 } };
/** Refused connections do not make the worker unhealthy before the attempts are over. */
const PATIENT = { ...QUICKLY, healthCheck: { failureThreshold: 100 } };

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'the body is not JSON, where rules, tenants, hooks or a gateway of several models must read it; else the worker judges':
    {
      router: { modelRules: [{ match: 'other', rewrite: 'sim-model' }] },
      ask: (fleet) => postText(fleet, '{"model": '),
    },
  'the route is hidden or reserved': { ask: (fleet) => post(fleet, '/sleep', {}) },
  'no worker lists the model, with `unknown_model: reject`': {
    router: { unknownModel: 'reject' },
    ask: (fleet) => chat(fleet, { model: 'nobody-serves-this' }),
  },
  "the body's `Content-Encoding` is not true": {
    ask: (fleet) => postText(fleet, '{}', { 'content-encoding': 'gzip' }),
  },
  'it is one that the router cannot decode': {
    ask: (fleet) => postText(fleet, '{}', { 'content-encoding': 'compress' }),
  },
  'the body, decoded where it must be, is larger than `max_payload_size`': {
    router: { maxPayloadSize: 10 },
    ask: (fleet) => chat(fleet),
  },
  'the bodies in flight are at `max_inflight_body_bytes`': {
    router: { maxInflightBodyBytes: 10 },
    ask: (fleet) => chat(fleet),
  },
  'the queue is full': {
    router: { maxConcurrentRequests: 1, queueSize: 0 },
    faults: ['delay:ms=300,times=1'],
    ask: (fleet) => behindAnother(fleet),
  },
  'the same, and it is `rate_limit_tokens_per_second` that keeps requests in it': {
    router: { queueSize: 0, rateLimitTokensPerSecond: 0.1 },
    ask: (fleet) => behindAnother(fleet),
  },
  'no turn came in `queue_timeout_secs`': {
    router: { maxConcurrentRequests: 1, queueTimeoutSecs: 0.05 },
    faults: ['delay:ms=300,times=1'],
    ask: (fleet) => behindAnother(fleet),
  },
  'no worker for the model is healthy': {
    router: { ...QUICKLY, healthCheck: { failureThreshold: 1 } },
    faults: ['refuse'],
    ask: async (fleet) => {
      await (await chat(fleet)).text();
      await eventually(() => fleet.app.runtime.registry.workers.every((worker) => !worker.health.healthy));
      return chat(fleet);
    },
  },
  'every attempt found the connection refused': {
    router: PATIENT,
    faults: ['refuse'],
    ask: (fleet) => chat(fleet),
  },
  'every attempt was closed before its first byte': {
    router: QUICKLY,
    faults: ['close'],
    ask: (fleet) => chat(fleet),
  },
  'every attempt got something that is not HTTP, or a `Transfer-Encoding` beside `chunked`': {
    router: QUICKLY,
    faults: ['garbage'],
    ask: (fleet) => chat(fleet),
  },
  'every attempt was silent for `first_token_timeout_secs`': {
    router: { ...QUICKLY, firstTokenTimeoutSecs: 0.05 },
    faults: ['hang'],
    ask: (fleet) => streamChat(fleet),
  },
  '`request_timeout_secs` passed before the answer began': {
    router: { requestTimeoutSecs: 0.2 },
    faults: ['hang'],
    ask: (fleet) => chat(fleet),
  },
  'every attempt was answered 500': {
    router: QUICKLY,
    faults: ['status:code=500'],
    ask: (fleet) => chat(fleet),
  },
  'the worker asks to wait longer than `max_backoff_ms`': {
    router: QUICKLY,
    faults: ['status:code=429,retry_after=2'],
    ask: (fleet) => chat(fleet),
  },
  'a stream breaks between two events': { faults: ['reset:after=2'], ask: (fleet) => streamChat(fleet) },
  'a worker stalls in a stream for `stream_idle_timeout_secs`': {
    router: { streamIdleTimeoutSecs: 0.1 },
    faults: ['hang:after=2'],
    ask: (fleet) => streamChat(fleet),
  },
  'the worker itself says in a stream that its engine failed': {
    faults: ['error_event:after=2'],
    ask: async (fleet) => {
      await (await streamChat(fleet)).text();
      assert.equal((await fleet.decision()).error, 'worker_error_event');
      return streamChat(fleet);
    },
  },
  'a stream breaks within an event': {
    faults: ['reset:after=2,partial=true'],
    ask: (fleet) => streamChat(fleet),
  },
  'an answer in one piece breaks off': { faults: ['close:after=1'], ask: (fleet) => chat(fleet) },
};

describe('what a client sees', () => {
  const rows = tableRows(sectionOf('docs/guide/reliability.md', 'What a client sees'));

  it('has a row for every scenario, and the other way round', () => {
    assert.deepEqual(rows.map(([what]) => what).sort(), Object.keys(SCENARIOS).sort());
  });

  for (const [what = '', status = '', code = ''] of rows) {
    it(`when ${what.replaceAll('`', '')}`, async () => {
      const scenario = SCENARIOS[what];
      assert.ok(scenario, `no scenario for "${what}"`);
      await using fleet = await startFleet({ workers: [{}], router: scenario.router ?? {} });
      const [worker] = fleet.workers;
      await worker?.setFaults(scenario.faults ?? []);
      const response = await scenario.ask(fleet);
      assert.equal(response.status, Number(status));
      if ([408, 429, 503].includes(response.status))
        assert.ok(response.headers.has('retry-after'), 'retry-after');
      assertBody(await readBody(response), code);
    });
  }
});

describe('a status of a worker', () => {
  for (const [status, attempts] of [
    [400, 1],
    [404, 1],
    [408, 2],
    [422, 1],
    [429, 2],
    [500, 2],
    [501, 1],
    [502, 2],
    [503, 2],
    [504, 2],
  ] as const) {
    it(`${status} is ${attempts > 1 ? 'tried again' : 'the answer'}`, async () => {
      await using fleet = await startFleet({ workers: [{}], router: QUICKLY });
      await fleet.workers[0]?.setFaults([`status:code=${status},times=1`]);
      await (await chat(fleet)).text();
      assert.equal((await fleet.decision()).attempts.length, attempts);
    });
  }
});

/** `code` is what the last column says. */
function assertBody({ text, whole }: { text: string; whole: boolean }, code: string): void {
  const named = /`(\w+)`/.exec(code)?.[1];
  if (code === 'the connection breaks') {
    assert.equal(whole, false, text);
    return;
  }
  assert.equal(whole, true);
  if (code === "the worker's answer") {
    assert.match(text, /"message":"simulated \d+"/);
  } else if (code.startsWith("the worker's own events")) {
    assert.match(text, /simulated engine failure[^]*data: \[DONE\]\n\n$/);
  } else if (code.startsWith('an error event')) {
    const last = text.trimEnd().split('\n\n').at(-1) ?? '';
    assert.equal(errorCode(last.replace(/^data: /, '')), named);
    assert.doesNotMatch(text, /\[DONE\]/);
  } else {
    assert.equal(errorCode(text), named);
  }
}

function errorCode(json: string): unknown {
  // OpenAI's error shape; the comparison fails for anything else.
  return (JSON.parse(json) as { error?: { code?: unknown } }).error?.code;
}

function postText(fleet: Fleet, body: string, more: Record<string, string> = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...more };
  return fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', headers, body });
}

/** A request that arrives while another one, on which the worker takes its time, is in flight. */
async function behindAnother(fleet: Fleet): Promise<Response> {
  const [worker] = fleet.workers;
  const reached = worker?.next('request');
  const first = post(fleet, '/v1/chat/completions', CHAT);
  await reached;
  const second = await chat(fleet);
  await (await first).text();
  return second;
}
