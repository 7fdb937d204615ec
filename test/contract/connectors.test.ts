/** One suite over every way of handing KV blocks over: what either worker is sent, in which order, and when that cannot be. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { decodeBody, prefillBody } from '../../src/engines/prefill-decode/bodies.ts';
import type { Connector, Handoff, Pair } from '../../src/engines/prefill-decode/connector.ts';
import { connectorFor, CONNECTORS } from '../../src/engines/prefill-decode/index.ts';
import { readPrefillAnswer, type PrefillAnswer } from '../../src/engines/prefill-decode/prefill-answer.ts';
import { P_MORI, peer, ROWS, WRITE, zmq, type Fields, type Row } from './connector-rows.ts';

/** Different ones each time, and the same ones in each run. */
function hexes(): () => string {
  let turn = 0;
  return () => (++turn).toString(16).padStart(32, '0');
}

function connectorOf(name: string): Connector {
  const known = Object.values(CONNECTORS).find((one) => name.split(/[ ,]/, 1)[0] === one.name);
  return known ?? assert.fail(`no connector ${name}`);
}

function pairOf({ prefill, decode }: Pick<Row, 'prefill' | 'decode'>, more: Partial<Pair> = {}): Pair {
  return { prefill, decode, requestId: 'req-1', randomHex32: hexes(), prompts: 1, isChat: false, ...more };
}

function answer(params: Fields | undefined): PrefillAnswer {
  const json = JSON.stringify({ choices: [{}], ...(params && { kv_transfer_params: params }) });
  const read = readPrefillAnswer(Buffer.from(json));
  return 'problem' in read ? assert.fail(read.problem) : read;
}

const CLIENT =
  '{"model":"m","prompt":"a","max_tokens":9,"stream":true,"seed":12345678901234567890,"stream_options":{"include_usage":true}}';
const SHORT = '{"model":"m","prompt":"a","max_tokens":1,"stream":false,"seed":12345678901234567890';

/** The members behind those of the client. */
function added(body: Buffer | undefined, own: string): Fields {
  const text = body?.toString() ?? '';
  assert.equal(text.slice(0, own.length), own);
  return JSON.parse(`{${text.slice(own.length).replace(/^,/, '')}`) as Fields;
}

/** Patterns match strings, everything else is equal. */
function assertLike(actual: unknown, wanted: unknown, place = ''): void {
  if (wanted instanceof RegExp) {
    assert.match(String(actual), wanted, place);
    return;
  }
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) {
    assert.deepEqual(actual, wanted, place);
    return;
  }
  assert.deepEqual(Object.keys(actual as object).sort(), Object.keys(wanted).sort(), place);
  for (const [key, value] of Object.entries(wanted))
    assertLike((actual as Fields)[key], value, `${place}.${key}`);
}

for (const [name, row] of Object.entries(ROWS)) {
  const connector = connectorOf(name);
  describe(`${name} (${row.source})`, () => {
    const begin = (more?: Partial<Pair>): Handoff => connector.begin(pairOf(row, more));
    const decodeMembers = (handoff: Handoff, given = row.answered) => {
      const order = handoff.decode(row.order === 'serial' ? answer(given) : undefined);
      return order.kind === 'ready' ? order.members : assert.fail(order.message);
    };

    it('is ready, and says why where it is not', () => {
      assert.equal(connector.unready(row), undefined);
      for (const [prefill, decode, why] of row.unready)
        assert.match(connector.unready({ prefill, decode }) ?? '', why);
    });

    it('is told to either worker in its order', () => {
      const handoff = begin();
      assert.equal(handoff.order, row.order);
      if (row.requestId) assert.match(handoff.requestId ?? '', row.requestId);
      else assert.equal(handoff.requestId, undefined);
      const { body } = handoff.prefill;
      const first = prefillBody(Buffer.from(CLIENT), 'max_tokens', handoff.prefill);
      assertLike(added(first, body === 'same' ? CLIENT.slice(0, -1) : SHORT), row.toPrefill);
      assertLike(
        added(decodeBody(Buffer.from(CLIENT), decodeMembers(handoff)), CLIENT.slice(0, -1)),
        row.toDecode,
      );
    });

    it('tells both of one transfer, and of another the next time, whatever the client calls them', () => {
      const [one, two] = [begin(), begin({ randomHex32: () => 'f'.repeat(32) })];
      const ids = (handoff: Handoff): string[] =>
        JSON.stringify([
          handoff.requestId,
          handoff.prefill.members,
          handoff.arrival,
          decodeMembers(handoff),
        ]).match(/(?:xfer-|tx-|req-1-|_)[0-9a-f-]{32,36}|bootstrap_room","\d+/g) ?? [];
      const kinds = new Set(ids(one));
      for (const id of ids(two)) assert.ok(!kinds.has(id), id);
      // Each kind of id is one and the same wherever it stands.
      const prefixes = [...kinds].map((id) => id.replace(/(?:[0-9a-f-]{32,36}|\d+)$/, ''));
      assert.equal(new Set(prefixes).size, prefixes.length, ids(one).join(' '));
    });

    it('announces blocks for every rank, or does not', () => {
      const { arrival, prefill } = begin();
      assert.equal(arrival?.times, row.arrival);
      if (arrival) assert.ok(JSON.stringify(prefill.members).includes(arrival.key));
    });

    it('says so where the prefill worker kept nothing', () => {
      if (row.order === 'concurrent') return;
      const order = begin().decode(answer(undefined));
      assert.equal(order.kind, row.answered ? 'failed' : 'ready');
    });

    it('is found by what is known of the workers', () => {
      assert.equal(connectorFor(connector.name, row.prefill, row.decode), connector);
      const found = connectorFor('auto', row.prefill, row.decode);
      // A bootstrap port is Mooncake's, unless SGLang is named.
      const otherwise: Readonly<Record<string, string>> = {
        ...{ 'nixl-push': 'nixl', storage: 'nixl', sglang: 'mooncake' },
      };
      assert.equal(found.name, otherwise[connector.name] ?? connector.name);
    });
  });
}

describe('every connector', () => {
  it('is in the table by its name, and in this suite', () => {
    const covered = new Set(Object.keys(ROWS).map((name) => connectorOf(name).name));
    for (const [name, connector] of Object.entries(CONNECTORS)) {
      assert.equal(connector.name, name);
      assert.ok(covered.has(connector.name), name);
    }
  });
});

describe('several prompts in one request', () => {
  it('have a room each', () => {
    const { prefill } = CONNECTORS.sglang.begin(
      pairOf({ prefill: peer('p'), decode: peer('d') }, { prompts: 3, randomHex32: () => 'f'.repeat(32) }),
    );
    const room = (2n ** 63n - 1n).toString();
    assert.deepEqual(prefill.members, [
      ['bootstrap_host', '["p","p","p"]'],
      ['bootstrap_port', '[null,null,null]'],
      ['bootstrap_room', `[${room},${room},${room}]`],
    ]);
  });

  it('are not handed over where vLLM has parameters for one', () => {
    const batches = Object.values(CONNECTORS).filter((one) => one.batches);
    assert.deepEqual(
      batches.map(({ name }) => name),
      ['p2p-nccl', 'storage', 'sglang'],
    );
  });
});

describe('a rank that only the router knows', () => {
  it('is told to the engine in a header, and to the decode worker', () => {
    const row = ROWS['moriio, write'] ?? assert.fail();
    const { prefill } = CONNECTORS.moriio.begin(pairOf(row));
    assert.deepEqual(prefill.headers, ['x-data-parallel-rank', '2']);
    const pinned = { ...row, prefill: peer('p', { ...zmq(P_MORI, { ...WRITE, dpSize: 4 }), rank: 3 }) };
    const handoff = CONNECTORS.moriio.begin(pairOf(pinned));
    assert.deepEqual(handoff.prefill.headers, [], 'requests to a rank say so anyway');
    const order = handoff.decode(undefined);
    assert.match(order.kind === 'ready' ? String(order.members[0]?.[1]) : '', /"remote_dp_rank":3/);
  });
});

interface Exchange {
  readonly label: string;
  readonly prefill_request: { readonly body: Fields };
  readonly prefill_response: Fields;
  readonly decode_request: { readonly body: Fields };
  readonly decode_response: Fields;
  readonly raw?: string;
}

describe('NIXL between two servers of vLLM 0.32.0, as it was recorded', () => {
  const path = new URL('../data/vllm-0.32-pd-nixl.json', import.meta.url);
  const exchanges = JSON.parse(readFileSync(path, 'utf8')) as Exchange[];
  for (const { label, ...exchange } of exchanges.filter(({ raw }) => raw === undefined)) {
    it(label, () => {
      const { kv_transfer_params: sent, ...client } = exchange.decode_request.body;
      const body = Buffer.from(JSON.stringify(client));
      const handoff = CONNECTORS.nixl.begin(pairOf({ prefill: peer('p'), decode: peer('d') }));
      const first = prefillBody(body, 'max_tokens', handoff.prefill);
      assert.deepEqual(JSON.parse(first?.toString() ?? ''), exchange.prefill_request.body);
      const read = readPrefillAnswer(Buffer.from(JSON.stringify(exchange.prefill_response)));
      if ('problem' in read) assert.fail(read.problem);
      assert.equal(read.params?.toString(), JSON.stringify(sent), 'in the same order');
      const order = handoff.decode(read);
      if (order.kind === 'failed') assert.fail(order.message);
      assert.deepEqual(
        JSON.parse(decodeBody(body, order.members)?.toString() ?? ''),
        exchange.decode_request.body,
      );
    });
  }

  it('a streamed prefill is no answer that anything could be taken from', () => {
    const streamed = exchanges.find(({ raw }) => raw !== undefined)?.raw ?? assert.fail();
    assert.ok('problem' in readPrefillAnswer(Buffer.from(streamed)));
  });
});

describe('a chat', () => {
  it('is made into tokens once: the prefill worker tells them, the decode worker takes them', () => {
    const pair = pairOf({ prefill: peer('p'), decode: peer('d') }, { isChat: true });
    const handoff = CONNECTORS.nixl.begin(pair);
    const body = Buffer.from(CLIENT);
    assert.equal(added(prefillBody(body, 'max_tokens', handoff.prefill), SHORT)['return_token_ids'], true);
    const json = '{"choices":[{}],"prompt_token_ids":[5,6],"kv_transfer_params":{"tp_size":1}}';
    const read = readPrefillAnswer(Buffer.from(json));
    const order = 'problem' in read ? assert.fail(read.problem) : handoff.decode(read);
    if (order.kind === 'failed') assert.fail(order.message);
    assert.deepEqual(added(decodeBody(body, order.members), CLIENT.slice(0, -1)), {
      kv_transfer_params: { tp_size: 1, prompt_token_ids: [5, 6] },
    });
  });
});
