import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ResponseHead } from './response-head.ts';
import { BadResponse, ResponseParser } from './response-parser.ts';

const MOST_HEAD_BYTES = 1024;

interface Read {
  readonly heads: ResponseHead[];
  readonly body: string;
  readonly trailers: readonly string[] | undefined;
  readonly parser: ResponseParser;
  /** Bytes that belonged to the response. */
  readonly used: number;
}

/** Reads these pieces, as Latin-1. */
function read(pieces: readonly string[], method = 'GET'): Read {
  const heads: ResponseHead[] = [];
  let body = '';
  let trailers: readonly string[] | undefined;
  const parser = new ResponseParser(method, MOST_HEAD_BYTES, {
    onHead: (head) => heads.push(head),
    onBody: (piece) => (body += piece.toString('latin1')),
    onEnd: (lines) => (trailers = lines),
  });
  let used = 0;
  for (const piece of pieces) used += parser.push(Buffer.from(piece, 'latin1'));
  return { heads, body, trailers, parser, used };
}

function refusal(text: string, method?: string): string {
  try {
    read([text], method);
  } catch (error) {
    assert.ok(error instanceof BadResponse);
    return error.message;
  }
  return 'taken';
}

const OK = 'HTTP/1.1 200 OK\r\n';

describe('a response', () => {
  it('has a status, a phrase and fields in the order and spelling in which they came', () => {
    const { heads, body, parser } = read([
      `${OK}X-B: two\r\nx-a:one\r\nX-B:\t \r\nContent-Length: 2\r\n\r\nhi`,
    ]);
    const [head] = heads;
    assert.equal(head?.status, 200);
    assert.equal(head.statusText, 'OK');
    assert.deepEqual(head.headers, ['X-B', 'two', 'x-a', 'one', 'X-B', '', 'Content-Length', '2']);
    assert.equal(body, 'hi');
    assert.equal(parser.done, true);
  });

  it('in chunks ends behind its trailers', () => {
    const { body, trailers, used } = read([
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A;a="b"\r\n, whatever\r\n0\r\nX-T: t\r\n\r\nnext`,
    ]);
    assert.equal(body, 'hello, whatever');
    assert.deepEqual(trailers, ['X-T', 't']);
    assert.equal(
      used,
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A;a="b"\r\n, whatever\r\n0\r\nX-T: t\r\n\r\n`
        .length,
    );
  });

  it('without a length ends with its connection, and only then', () => {
    const { parser, body } = read([`${OK}\r\nall `, 'of it']);
    assert.equal(body, 'all of it');
    assert.deepEqual([parser.done, parser.finish(), parser.done], [false, true, true]);
  });

  it('that is cut off is not whole', () => {
    for (const text of [
      '',
      'HTTP/1.1 20',
      `${OK}Content-Length: 5\r\n\r\n1234`,
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    ])
      assert.equal(read([text]).parser.finish(), false, text);
  });

  for (const [what, text, method] of [
    ['204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['an answer to HEAD', `${OK}Content-Length: 5\r\n\r\n`, 'HEAD'],
    ['one of length 0', `${OK}Content-Length: 0\r\n\r\n`],
  ] as const) {
    it(`has no body: ${what}`, () => {
      const { parser, body, trailers, used } = read([`${text}stray`], method);
      assert.deepEqual([parser.done, body, trailers, used], [true, '', [], text.length]);
    });
  }

  it('may follow interim ones', () => {
    const { heads, body } = read([
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 1\r\n\r\n!`,
    ]);
    assert.deepEqual(
      heads.map(({ status }) => status),
      [100, 103, 200],
    );
    assert.equal(body, '!');
  });

  it('that switches protocols leaves what follows to the other protocol', () => {
    const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';
    const { parser, used } = read([`${head}frames`]);
    assert.deepEqual([parser.done, used], [true, head.length]);
  });

  it('says whether the connection goes on, and how long', () => {
    const head = (fields: string, version = '1.1'): ResponseHead =>
      read([`HTTP/${version} 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`]).heads[0]!;
    assert.equal(head('').keepAlive, true);
    assert.equal(head('Connection: foo, Close\r\n').keepAlive, false);
    assert.equal(head('', '1.0').keepAlive, false);
    assert.equal(head('Connection: keep-alive\r\n', '1.0').keepAlive, true);
    assert.equal(head('Keep-Alive: max=5, timeout=7\r\n').keepAliveSecs, 7);
    assert.equal(head('Keep-Alive: xtimeout=7\r\n').keepAliveSecs, undefined);
  });

  it('is read the same however its bytes are cut', () => {
    const text =
      `HTTP/1.1 100 Continue\r\n\r\n${OK}X-A: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n` +
      `5\r\nhello\r\n1a;x\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-T: t\r\nX-U: u\r\n\r\n`;
    const whole = read([text]);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 40 }), (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const { heads, body, trailers, used } = read(
          places.slice(1).map((end, index) => text.slice(places[index], end)),
        );
        assert.deepEqual(
          { heads, body, trailers, used },
          { heads: whole.heads, body: whole.body, trailers: whole.trailers, used: text.length },
        );
      }),
    );
    assert.equal(read([...text]).body, whole.body);
  });
});

describe('a pause', () => {
  for (const [what, text] of [
    ['of known length', `${OK}Content-Length: 4\r\n\r\nbody`],
    ['in chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n`],
  ] as const) {
    it(`in the middle of what was read tells of nothing more, the end included: ${what}`, () => {
      const told: string[] = [];
      const parser = new ResponseParser('GET', MOST_HEAD_BYTES, {
        onHead: () => undefined,
        onBody: (piece) => {
          told.push(piece.toString());
          parser.paused = true;
        },
        onEnd: () => told.push('end'),
      });
      let rest = Buffer.from(text);
      const steps: string[] = [];
      for (let turn = 0; turn < 10 && !parser.done; turn += 1) {
        parser.paused = false;
        rest = rest.subarray(parser.push(rest));
        steps.push(told.splice(0).join('+'));
      }
      assert.deepEqual(steps, what === 'in chunks' ? ['bo', 'dy', 'end'] : ['body', 'end']);
      assert.equal(rest.length, 0);
    });
  }
});

describe('what is refused, because another reader could take it for something else', () => {
  for (const [text, why] of [
    ['SSH-2.0-OpenSSH\r\n', 'it does not begin with an HTTP/1.1 status line'],
    ['HTTP/2 200\r\n\r\n', 'it does not begin with an HTTP/1.1 status line'],
    ['HTTP/1.1 20 OK\r\n\r\n', 'it does not begin with an HTTP/1.1 status line'],
    ['HTTP/1.1 200 OK\n\n', 'a line that does not end in CR LF'],
    [`${OK}A: b\nC: d\r\n\r\n`, 'a control character in a header'],
    [`${OK}A: b\r\n folded\r\n\r\n`, 'a header line without a proper name'],
    [`${OK}A : b\r\n\r\n`, 'a header line without a proper name'],
    [`${OK}: b\r\n\r\n`, 'a header line without a proper name'],
    [`${OK}A: \0\r\n\r\n`, 'a control character in a header'],
    [`${OK}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`, 'two Content-Length headers'],
    [`${OK}Content-Length: +1\r\n\r\n`, 'a Content-Length that is no number'],
    [`${OK}Content-Length: 1, 1\r\n\r\n`, 'a Content-Length that is no number'],
    [`${OK}Content-Length: 9007199254740993\r\n\r\n`, 'a Content-Length that is no number'],
    [
      `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      'both Content-Length and Transfer-Encoding',
    ],
    [`${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`, 'a Transfer-Encoding other than chunked'],
    [
      `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
      'a Transfer-Encoding other than chunked',
    ],
    [`${OK}Transfer-Encoding: chunked\t\r\n\r\n`, 'a tab in a header that tells the length'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n0x1\r\n`, 'a chunk without a size'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n-1\r\n`, 'a chunk without a size'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1 \r\n`, 'a chunk without a size'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n10000000000000\r\n`, 'a chunk without a size'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1\na\r\n`, 'a line that does not end in CR LF'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1;a="\0"\r\n`, 'a chunk with an improper extension'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`, 'a chunk longer than its size'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n`, 'a length behind the body'],
    [`${OK}A: ${'b'.repeat(MOST_HEAD_BYTES)}\r\n\r\n`, 'its head is too large'],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(2000)}`, 'a chunk without a size'],
    ['HTTP/1.1 103 E\r\n\r\n'.repeat(100), 'too many interim responses'],
  ] as const) {
    it(`${why}: ${JSON.stringify(text.slice(0, 70))}`, () => {
      assert.equal(refusal(text), why);
      let refused: unknown;
      try {
        read([...text]);
      } catch (error) {
        refused = error;
      }
      assert.ok(refused instanceof BadResponse, 'also byte by byte');
    });
  }

  it('garbage is not waited for', () => {
    assert.throws(() => read(['HX']), BadResponse);
  });
});
