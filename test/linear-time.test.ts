/**
 * What reads a text of a client or a worker takes time in step with its length: a regular expression that goes back over
 * what it has read holds up every stream of the process. Compared is processor time, for as many characters in one piece
 * and in many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formType, partHead } from '../src/api/form-head.ts';
import { readForm } from '../src/api/form-field.ts';
import { hasDuplicateField, setMember } from '../src/api/json-edit.ts';
import { findMembers, scanMembers } from '../src/api/json-scan.ts';
import { parseJson, readBoolean, readInteger } from '../src/api/python-json.ts';
import { nearest } from '../src/base/suggest.ts';
import { parseWorkerUrl } from '../src/config/schema/worker-url.ts';
import { inOneGo } from '../src/base/in-pieces.ts';
import { leavingOutClientParams, prefillBody } from '../src/engines/prefill-decode/bodies.ts';
import { readPrefillAnswer } from '../src/engines/prefill-decode/prefill-answer.ts';
import { withPromptIds } from '../src/engines/prefill-decode/prompt-ids.ts';
import { endToEnd, headerValue } from '../src/http/headers.ts';
import { normalisePath, originForm, pathOf } from '../src/http/normalise-path.ts';
import { BadRequest, RequestParser } from '../src/http1/request-parser.ts';
import { BadResponse, ResponseParser } from '../src/http1/response-parser.ts';
import { cleanFields, cleanText } from '../src/observe/log-redaction.ts';
import { prettyLine } from '../src/observe/pretty-line.ts';
import { withPrompt } from '../src/request/answer/prompt-logprobs.ts';
import { editorFor } from '../src/request/answer/response-edit.ts';
import { canonicalTarget, matchEndpoint } from '../src/request/arrive/endpoints.ts';
import { retryAfterMs } from '../src/request/send/attempt.ts';
import { nearestName } from '../src/request/understand/nearest-name.ts';

const PIECES = 16;
const PIECE = 600;
/** Allowed beside the growth: the collector, the compiler. */
const SLACK_US = 20_000;

function spent(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** The collector and the compiler may come in between, but not every time. */
function isLinear(read: (text: string) => void, piece: string, whole: string): boolean {
  for (let turn = 0; turn < 3; turn += 1) {
    const inPieces = spent(() => {
      for (let count = 0; count < PIECES; count += 1) read(piece);
    });
    const inOne = spent(() => {
      read(whole);
    });
    if (inOne <= 4 * inPieces + SLACK_US) return true;
  }
  return false;
}

/** What stalls is a character repeated, between a beginning and an end that keep it from matching. */
const STARTS = [
  '',
  '://',
  'http://',
  'x://a:',
  '"',
  '{"a":"',
  'Bearer ',
  '; boundary=',
  '/',
  '@',
  '{"model":',
  '[',
];
const REPEATED = [
  ':',
  '/',
  '//',
  ' ',
  '\t',
  '"',
  '\\',
  '\\"',
  ';',
  '; ',
  '=',
  '@',
  '@1',
  '.',
  '-',
  '_',
  '%2',
  '%25',
]
  .concat([
    'a',
    '0',
    '1',
    ',',
    '{',
    '[',
    '{"a":',
    '"a":1,',
    'a:',
    ':@',
    '://',
    '://a:',
    'bearer ',
    'NaN',
    '-',
  ])
  .concat(['\r\n', '; a=', '; a="', ';boundary=', '\r\n--x', 'data:', '../', 'é', '\u0000']);
const ENDS = ['', 'x', '@', '@1', '"', '\n', '\\', '}', '!'];

/** Reads a head; nearly none is one. */
function readHead(parser: RequestParser | ResponseParser, text: string): void {
  try {
    parser.push(Buffer.from(`${text}\r\n\r\n`, 'latin1'));
  } catch (error) {
    assert.ok(error instanceof BadRequest || error instanceof BadResponse);
  }
}

const UNHEARD = { onHead: () => undefined, onBody: () => undefined, onEnd: () => undefined };

const READERS: Readonly<Record<string, (text: string) => void>> = {
  cleanText,
  cleanFields: (text) => void cleanFields({ model: text, [text]: 1, error: new Error(text) }),
  prettyLine: (text) => void prettyLine(`${JSON.stringify({ level: 'info', msg: text, x: text })}\n`, false),
  parseWorkerUrl,
  normalisePath: (text) => {
    const path = normalisePath(pathOf(originForm(text)));
    canonicalTarget(matchEndpoint('POST', path), path, text);
  },
  headers: (text) => {
    headerValue(text);
    endToEnd(['connection', text, 'a', text], () => false);
    retryAfterMs(['retry-after', text], 0);
  },
  heads: (text) => {
    const request = `HTTP/1.1\r\nHost: r\r\nConnection:${text}\r\nExpect:${text}`;
    readHead(new RequestParser(1e6, UNHEARD), `GET / ${request}`);
    readHead(new RequestParser(1e6, UNHEARD), `GET / HTTP/1.0\r\nHost:${text}`);
    readHead(new RequestParser(1e6, UNHEARD), `GET http://${text} HTTP/1.0`);
    readHead(new ResponseParser('GET', 1e6, UNHEARD), `HTTP/1.1 200 ${text}\r\nKeep-Alive:${text}`);
  },
  form: (text) => {
    formType(`multipart/form-data${text}`);
    partHead(`Content-Disposition: form-data${text}`);
    readForm(
      Buffer.from(`--x\r\nContent-Disposition:${text}\r\n\r\n${text}\r\n--x--`),
      'multipart/form-data; boundary=x',
    );
  },
  json: (text) => {
    const body = Buffer.from(text);
    scanMembers(body);
    findMembers(body, ['model']);
    hasDuplicateField(body);
    setMember(body, 'model', 'm');
    try {
      parseJson(text);
    } catch {
      // Nearly none is JSON.
    }
  },
  handover: (text) => {
    const body = Buffer.from(text);
    const [member, list] = [Buffer.from(`{"stream_options":${text}}`), Buffer.from(`[${text}]`)];
    for (const json of [body, member]) {
      prefillBody(json, 'max_tokens', { body: 'one_token', members: [] });
      inOneGo(leavingOutClientParams(json));
      readPrefillAnswer(json);
    }
    withPromptIds(member, list);
    const choices = Buffer.from(
      `{"choices":[{"prompt_logprobs":[${text}],"logprobs":{"tokens":[${text}]}}]}`,
    );
    withPrompt(choices, choices);
  },
  edits: (text) => {
    const pd = { cachedTokens: 1, prefill: undefined, onUnmerged: () => undefined };
    for (const type of ['application/json', 'text/event-stream']) {
      const head = { status: 200, statusText: '', headers: ['content-type', type] };
      const editor = editorFor({ model: Buffer.from('"m"'), swallowUsage: true, pd }, head);
      editor?.push(Buffer.from(`{"usage":${text}`));
      editor?.push(Buffer.from(`data: {"usage":${text}\n\n`));
      editor?.end();
    }
  },
  names: (text) => {
    nearestName(text, ['llama', 'qwen'], () => true);
    nearest(text, ['policy', 'port']);
    readBoolean(text);
    readInteger(text);
  },
};

for (const [name, read] of Object.entries(READERS))
  test(name, () => {
    for (const start of STARTS)
      for (const repeated of REPEATED)
        for (const end of ENDS) {
          const text = (length: number): string =>
            `${start}${repeated.repeat(Math.ceil(length / repeated.length))}${end}`;
          const [piece, whole] = [text(PIECE), text(PIECES * PIECE)];
          assert.ok(isLinear(read, piece, whole), JSON.stringify([start, repeated, end]));
        }
  });
