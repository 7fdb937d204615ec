import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { memoryInUse } from '../../test/support/memory.ts';
import type { RequestHead } from './request-head.ts';
import { BadRequest, RequestParser, type RequestEvents } from './request-parser.ts';

const MOST_HEAD_BYTES = 1024;

interface Read {
  readonly head: RequestHead;
  body: string;
  /** Undefined while it has not ended. */
  trailers: readonly string[] | undefined;
}

/** What a parser has told of. */
class Told implements RequestEvents {
  readonly requests: Read[] = [];

  onHead(head: RequestHead): void {
    this.requests.push({ head, body: '', trailers: undefined });
  }

  onBody(piece: Buffer): void {
    this.latest.body += piece.toString('latin1');
  }

  onEnd(trailers: readonly string[]): void {
    this.latest.trailers = trailers;
  }

  get latest(): Read {
    const latest = this.requests.at(-1);
    assert.ok(latest && latest.trailers === undefined, 'a request that has begun and not ended');
    return latest;
  }
}

/** Reads these pieces, as Latin-1; each is gone when it has been read. */
function read(pieces: readonly string[]): Told & { readonly parser: RequestParser } {
  const told = new Told();
  const parser = new RequestParser(MOST_HEAD_BYTES, told);
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1');
    assert.equal(parser.push(bytes), bytes.length);
    bytes.fill(0);
  }
  return Object.assign(told, { parser });
}

function refusalOf(pieces: readonly string[]): BadRequest | undefined {
  try {
    read(pieces);
  } catch (error) {
    if (error instanceof BadRequest) return error;
    throw error;
  }
  return undefined;
}

function headOf(text: string): RequestHead {
  const [request] = read([text]).requests;
  assert.ok(request);
  return request.head;
}

const FRAMING = 'a body ends by its length or by chunking, and by nothing else';
const TARGET = 'the target must be a path, or an http or https URL';
const HOST = 'exactly one Host header is needed, with the name of a host';
const LINE = 'it does not begin with an HTTP/1.1 request line';
const METHOD = 'it does not begin with a known method';
const GET = 'GET / HTTP/1.1\r\nHost: r\r\n';
const POST = 'POST /x HTTP/1.1\r\nHost: r\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;

describe('what is refused, because another reader could take it for something else', () => {
  for (const [text, why] of [
    ['SSH-2.0-OpenSSH\r\n', METHOD],
    ['\x16\x03\x01\x02\x00', METHOD],
    ['get / HTTP/1.1\r\n\r\n', METHOD],
    ['GETS / HTTP/1.1\r\n\r\n', METHOD],
    ['GET\t/ HTTP/1.1\r\n\r\n', METHOD],
    [' GET / HTTP/1.1\r\n\r\n', METHOD],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', METHOD],
    ['CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 'tunnels by CONNECT are not offered'],
    ['GET  / HTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET /  HTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET / HTTP/1.1 \r\nHost: r\r\n\r\n', LINE],
    ['GET /\tHTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET /\r\n\r\n', LINE],
    ['GET /\x7f HTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET /\xe9 HTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET /a b HTTP/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET / HTTP/0.9\r\nHost: r\r\n\r\n', LINE],
    ['GET / HTTP/1.2\r\nHost: r\r\n\r\n', LINE],
    ['GET / HTTP/1.10\r\nHost: r\r\n\r\n', LINE],
    ['GET / HTTP/2.0\r\nHost: r\r\n\r\n', LINE],
    ['GET / http/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET / ICE/1.1\r\nHost: r\r\n\r\n', LINE],
    ['GET * HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET ftp://a/b HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET http:///b HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET http:/b HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET http://a{b/ HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET http://a#b HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET http://a@b@c/ HTTP/1.1\r\nHost: r\r\n\r\n', TARGET],
    ['GET / HTTP/1.1\r\n\r\n', HOST],
    ['GET / HTTP/1.0\r\nHost: a\r\nhOST: a\r\n\r\n', HOST],
    ['GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', HOST],
    ['GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n', HOST],
    ['GET / HTTP/1.1\r\nHost: h\xe9\r\n\r\n', HOST],
    [`${GET.replaceAll('\r\n', '\n')}\n`, 'a line that does not end in CR LF'],
    [`${GET}A: b\nC: d\r\n\r\n`, 'a control character in a header'],
    [`${GET}A: b\rC: d\r\n\r\n`, 'a control character in a header'],
    [`${GET}A: \0\r\n\r\n`, 'a control character in a header'],
    [`${GET}A: b\r\n folded\r\n\r\n`, 'a header line without a proper name'],
    [`${GET}A : b\r\n\r\n`, 'a header line without a proper name'],
    [`${GET}: b\r\n\r\n`, 'a header line without a proper name'],
    [`${GET}A\r\n\r\n`, 'a header line without a proper name'],
    [`${GET}\xe9: b\r\n\r\n`, 'a header line without a proper name'],
    [`${POST}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`, FRAMING],
    [`${POST}Content-Length: +1\r\n\r\n`, FRAMING],
    [`${POST}Content-Length: 1, 1\r\n\r\n`, FRAMING],
    [`${POST}Content-Length:\r\n\r\n`, FRAMING],
    [`${POST}Content-Length: 1\t\r\n\r\n`, FRAMING],
    [`${POST}Content-Length: 9007199254740993\r\n\r\n`, FRAMING],
    [`${POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding: gzip, chunked\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding: chunked, chunked\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding: identity\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding:\r\n\r\n`, FRAMING],
    [`${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, FRAMING],
    ['POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', FRAMING],
    [`${CHUNKED}0x1\r\n`, 'a chunk without a size'],
    [`${CHUNKED}-1\r\n`, 'a chunk without a size'],
    [`${CHUNKED}\r\n`, 'a chunk without a size'],
    [`${CHUNKED}1 \r\n`, 'a chunk without a size'],
    [`${CHUNKED}10000000000000\r\n`, 'a chunk without a size'],
    [`${CHUNKED}1;${'a'.repeat(2000)}`, 'a chunk without a size'],
    [`${CHUNKED}1\na\r\n`, 'a line that does not end in CR LF'],
    [`${CHUNKED}\n`, 'a line that does not end in CR LF'],
    [`${CHUNKED}1;a="\0"\r\n`, 'a chunk with an improper extension'],
    [`${CHUNKED}1\r\nab\r\n`, 'a chunk longer than its size'],
    [`${CHUNKED}1\r\na\n`, 'a line that does not end in CR LF'],
    [`${CHUNKED}0\r\nContent-Length: 1\r\n\r\n`, 'a length behind the body'],
    [`${CHUNKED}0\r\ntransfer-encoding: chunked\r\n\r\n`, 'a length behind the body'],
    [`${CHUNKED}0\r\nConnection: close\r\n\r\n`, 'a Connection header behind the body'],
    [`${CHUNKED}0\r\nA : b\r\n\r\n`, 'a header line without a proper name'],
    [`${CHUNKED}0\r\nA: b\n\r\n\r\n`, 'a control character in a header'],
    [`${GET}\r\n${GET}Content-Length: x\r\n\r\n`, FRAMING],
    [`${GET}Connection: close\r\n\r\n${GET}\r\n`, 'more behind a request that was to be the last'],
    [`GET / HTTP/1.0\r\n\r\n${GET}\r\n`, 'more behind a request that was to be the last'],
    [`\n${GET}\r\n`, 'a line that does not end in CR LF'],
    [`\r${GET}\r\n`, 'a line that does not end in CR LF'],
    [`\r\n\n${GET}\r\n`, 'a line that does not end in CR LF'],
    ['\r\n'.repeat(5), 'empty lines in place of a request'],
  ] as const) {
    it(`${why}: ${JSON.stringify(text.slice(0, 70))}`, () => {
      const refused = refusalOf([text]);
      assert.deepEqual([refused?.message, refused?.code], [why, 'invalid_request']);
      assert.equal(refusalOf([...text])?.code, 'invalid_request', 'also byte by byte');
    });
  }

  for (const [what, text] of [
    ['a long header', `${GET}A: ${'b'.repeat(MOST_HEAD_BYTES)}\r\n\r\n`],
    ['a long target', `GET /${'b'.repeat(MOST_HEAD_BYTES)} HTTP/1.1\r\nHost: r\r\n\r\n`],
    ['many headers', `${GET}${'a:\r\n'.repeat(MOST_HEAD_BYTES / 4)}\r\n`],
    ['a head without end', `${GET}${'a:\r\n'.repeat(MOST_HEAD_BYTES)}`],
    ['trailers without end', `${CHUNKED}0\r\n${'a:\r\n'.repeat(MOST_HEAD_BYTES)}`],
  ] as const) {
    it(`too much: ${what}`, () => {
      for (const pieces of [[text], Array.from(text)]) {
        const refused = refusalOf(pieces);
        assert.deepEqual(
          [refused?.message, refused?.code],
          ['the request head is too large', 'headers_too_large'],
        );
      }
    });
  }

  it('garbage is not waited for, wherever it is cut', () => {
    for (const text of [
      'HX',
      'GX',
      'P\0',
      'GET\r',
      '\x80',
      'CONNECT ',
      'UNSUBSCRIBEX',
      `${GET}\r\nX`,
      `${GET}A: b\n`,
    ])
      assert.ok(refusalOf([...text]), text);
  });
});

describe('a request', () => {
  it('has a method, a target and fields in the order and spelling in which they came', () => {
    const { requests } = read([
      `POST //a/../%2f?b=/c#d HTTP/1.1\r\nhOST: r:1\r\nX-B: two\r\nx-a:one\xe9\r\nX-B:\t \r\nContent-Length: 2\r\n\r\nhi`,
    ]);
    const [request] = requests;
    assert.deepEqual(request, {
      head: {
        method: 'POST',
        target: '//a/../%2f?b=/c#d',
        minorVersion: 1,
        headers: ['hOST', 'r:1', 'X-B', 'two', 'x-a', 'one\xe9', 'X-B', '', 'Content-Length', '2'],
        framing: { kind: 'length', length: 2 },
        keepAlive: true,
        expectsContinue: false,
        expectsUnknown: false,
        upgrade: undefined,
      },
      body: 'hi',
      trailers: [],
    });
  });

  it('may have any method that Node knows but CONNECT', () => {
    for (const method of METHODS)
      if (method !== 'CONNECT')
        assert.equal(headOf(`${method} / HTTP/1.1\r\nHost: r\r\n\r\n`).method, method);
  });

  it('may ask for an http URL, and HTTP/1.0 needs no Host', () => {
    for (const target of ['http://a', 'HTTPS://u@a:1/b?c', 'http://[::1]:8000/x', 'http://a?b'])
      assert.equal(headOf(`GET ${target} HTTP/1.0\r\n\r\n`).target, target);
  });

  it('in chunks ends behind its trailers', () => {
    const { requests, parser } = read([
      `${CHUNKED}5\r\nhello\r\n00A;a="b"\r\n, whatever\r\n0\r\nX-T: t\r\n\r\n${GET}\r\n`,
    ]);
    assert.deepEqual(
      requests.map(({ body, trailers }) => ({ body, trailers })),
      [
        { body: 'hello, whatever', trailers: ['X-T', 't'] },
        { body: '', trailers: [] },
      ],
    );
    assert.equal(parser.betweenRequests, true);
  });

  it('may follow some empty lines, which are no part of it', () => {
    const { requests, parser } = read(['\r\n\r', `\n${GET}\r\n\r`, '\n', `${GET}\r\n\r\n\r\n\r\n\r\n`]);
    assert.equal(requests.length, 2);
    assert.equal(parser.betweenRequests, true);
    assert.equal(parser.inHead, false);
    assert.equal(read([`${GET}Connection: close\r\n\r\n\r\n`]).requests.length, 1);
  });

  it('says whether another may follow, by version and Connection', () => {
    for (const [version, connection, expected] of [
      ['1.1', '', true],
      ['1.1', 'foo, Close', false],
      ['1.1', 'close\xa0', true],
      ['1.1', 'keep-alive', true],
      ['1.0', '', false],
      ['1.0', 'Keep-Alive', true],
      ['1.0', 'foo,\tkeep-alive ', true],
      ['1.0', 'keep-alive\xa0', false],
    ] as const)
      assert.equal(
        headOf(`GET / HTTP/${version}\r\nHost: r\r\nConnection: ${connection}\r\n\r\n`).keepAlive,
        expected,
        `${version} ${connection}`,
      );
  });

  it('says what it expects', () => {
    const expects = (fields: string, version = '1.1'): [boolean, boolean] => {
      const head = headOf(`POST / HTTP/${version}\r\nHost: r\r\n${fields}\r\n`);
      return [head.expectsContinue, head.expectsUnknown];
    };
    assert.deepEqual(expects(''), [false, false]);
    assert.deepEqual(expects('expect: 100-Continue\r\n'), [true, false]);
    assert.deepEqual(expects('Expect: more\r\n'), [false, true]);
    assert.deepEqual(expects('Expect: more\r\nExpect: 100-continue\r\n'), [true, false]);
    assert.deepEqual(expects('Expect: 100-continue\r\n', '1.0'), [false, false]);
  });

  it('names what it would switch to, where it asks this hop', () => {
    assert.equal(headOf(`${GET}Connection: foo, Upgrade\r\nUpgrade: websocket\r\n\r\n`).upgrade, 'websocket');
    assert.equal(headOf(`${GET}Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n`).upgrade, 'a, b');
    assert.equal(headOf(`${GET}Upgrade: websocket\r\n\r\n`).upgrade, undefined);
    assert.equal(headOf(`${GET}Connection: upgrade\r\n\r\n`).upgrade, undefined);
    assert.equal(headOf(`${GET}Connection: upgrade\r\nUpgrade: \r\n\r\n`).upgrade, undefined);
  });

  it('may have a head of exactly so many bytes', () => {
    const text = `${GET}A: ${'b'.repeat(MOST_HEAD_BYTES - GET.length - 3)}`;
    assert.equal(text.length, MOST_HEAD_BYTES);
    assert.equal(read([`${text}\r\n\r\n`]).requests.length, 1);
    assert.equal(read(Array.from(`${text}\r\n\r\n`)).requests.length, 1);
    assert.equal(refusalOf([`${text}b\r\n\r\n`])?.code, 'headers_too_large');
  });

  it('costs who keeps one of its strings no more than a small head', () => {
    const kept: (string | undefined)[] = [];
    const parser = new RequestParser(64 * 1024, {
      onHead: ({ headers }) => kept.push(headers[3]),
      onBody: () => undefined,
      onEnd: () => undefined,
    });
    const before = memoryInUse();
    for (let count = 0; count < 500; count += 1)
      parser.push(Buffer.from(`${GET}X-Id: request-number-${count}\r\nX-P: ${'p'.repeat(30_000)}\r\n\r\n`));
    assert.ok(memoryInUse() - before < 500 * 4 * 1024);
    assert.equal(kept.at(-1), 'request-number-499');
  });

  it('is told of as its bytes come', () => {
    const told = new Told();
    const parser = new RequestParser(MOST_HEAD_BYTES, told);
    const state = (text: string): unknown[] => {
      parser.push(Buffer.from(text));
      return [parser.betweenRequests, parser.inHead, told.requests.length];
    };
    assert.deepEqual(state(''), [true, false, 0]);
    assert.deepEqual(state('\r\nP'), [false, true, 0]);
    assert.deepEqual(state('OST / HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r'), [false, true, 0]);
    assert.deepEqual(state('\n'), [false, false, 1]);
    assert.deepEqual(state('a'), [false, false, 1]);
    assert.deepEqual(state('b'), [true, false, 1]);
  });
});

const SEVERAL =
  `POST /1 HTTP/1.1\r\nHost: r\r\nX-A: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n` +
  `5\r\nhello\r\n1a;x\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-T: t\r\nX-U: u\r\n\r\n` +
  `GET /2 HTTP/1.1\r\nHost: r\r\n\r\n\r\n` +
  `PUT /3 HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n\r\n\r\n\r\n` +
  `POST /4 HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n` +
  `DELETE /5 HTTP/1.0\r\nContent-Length: 0\r\n\r\n`;

describe('several requests on one connection', () => {
  const whole = read([SEVERAL]).requests;

  it('are told apart', () => {
    assert.deepEqual(
      whole.map(({ head, body, trailers }) => [head.target, body, trailers?.length]),
      [
        ['/1', 'helloabcdefghijklmnopqrstuvwxyz', 4],
        ['/2', '', 0],
        ['/3', '\r\n\r\n', 0],
        ['/4', 'x', 0],
        ['/5', '', 0],
      ],
    );
  });

  it('are read the same when they are cut anywhere in two', () => {
    for (let at = 0; at <= SEVERAL.length; at += 1)
      assert.deepEqual(read([SEVERAL.slice(0, at), SEVERAL.slice(at)]).requests, whole, `cut at ${at}`);
  });

  it('are read the same byte by byte, and however their bytes are cut', () => {
    assert.deepEqual(read([...SEVERAL]).requests, whole);
    fc.assert(
      fc.property(fc.array(fc.nat(SEVERAL.length), { maxLength: 60 }), (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), SEVERAL.length];
        const pieces = places.slice(1).map((end, index) => SEVERAL.slice(places[index], end));
        assert.deepEqual(read(pieces).requests, whole);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('are read the same when every event pauses, and nothing is told meanwhile', () => {
    for (const size of [1, 7, SEVERAL.length]) {
      const told = new Told();
      let events = 0;
      const pauseAfter =
        <Given>(event: (given: Given) => void) =>
        (given: Given): void => {
          event(given);
          events += 1;
          parser.paused = true;
        };
      const parser: RequestParser = new RequestParser(MOST_HEAD_BYTES, {
        onHead: pauseAfter((head: RequestHead) => {
          told.onHead(head);
        }),
        onBody: pauseAfter((piece: Buffer) => {
          told.onBody(piece);
        }),
        onEnd: pauseAfter((trailers: readonly string[]) => {
          told.onEnd(trailers);
        }),
      });
      for (let at = 0; at < SEVERAL.length || parser.paused;) {
        parser.paused = false;
        const before = events;
        const used = parser.push(Buffer.from(SEVERAL.slice(at, at + size), 'latin1'));
        assert.ok(events - before <= 1);
        at += used;
        assert.equal(parser.paused, events > before);
        const held = events;
        assert.equal(parser.paused ? parser.push(Buffer.from('more', 'latin1')) : 0, 0);
        assert.equal(events, held);
      }
      assert.deepEqual(told.requests, whole);
    }
  });

  it('may be left at a head that hands the connection over', () => {
    const told = new Told();
    const parser: RequestParser = new RequestParser(MOST_HEAD_BYTES, {
      onHead: () => (parser.paused = true),
      onBody: (piece) => {
        told.onBody(piece);
      },
      onEnd: () => assert.fail('an end'),
    });
    const head = `${GET}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`;
    assert.equal(parser.push(Buffer.from(`${head}frames`)), head.length);
  });

  it('errors of those who are told are not taken for the client’s', () => {
    const parser = new RequestParser(MOST_HEAD_BYTES, {
      onHead: () => {
        throw new RangeError('ours');
      },
      onBody: () => undefined,
      onEnd: () => undefined,
    });
    assert.throws(() => parser.push(Buffer.from(`${GET}\r\n`)), RangeError);
  });
});
