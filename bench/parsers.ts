/**
 * What it costs to read a request: by the router's own parser, by Node's (llhttp, native, called from JavaScript) and by llhttp in WebAssembly.
 * `node bench/parsers.ts`: microseconds of CPU for a chat of 2 KiB with 12 header fields, their strings made, in rounds.
 */
import { createRequire } from 'node:module';
import { RequestParser } from '../src/http1/request-parser.ts';

const REQUESTS = 200_000;
const ROUNDS = 5;
const BODY = Buffer.alloc(2048, 'x');
const REQUEST = Buffer.concat([
  Buffer.from(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: router.example:30000\r\nAccept: application/json\r\n' +
      'Accept-Encoding: gzip, deflate, br\r\nUser-Agent: OpenAI/Python 1.61.0\r\nContent-Type: application/json\r\n' +
      'Authorization: Bearer sk-0123456789abcdef0123456789\r\nX-Stainless-Lang: python\r\n' +
      'X-Stainless-Package-Version: 1.61.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Runtime: CPython\r\n' +
      `Connection: keep-alive\r\nContent-Length: ${BODY.length}\r\n\r\n`,
  ),
  BODY,
]);
const FIELDS = 12;

/** Reads a request, and says how many fields it found. */
type Reader = () => number;

function ownParser(): Reader {
  let fields = 0;
  const ignore = (): void => undefined;
  const parser = new RequestParser(16_384, {
    onHead: ({ headers }) => (fields = headers.length / 2),
    onBody: ignore,
    onEnd: ignore,
  });
  return () => {
    parser.push(REQUEST);
    return fields;
  };
}

/** What is used of Node's internal binding; it has no types. */
interface NativeParser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): number | Error;
  [callback: number]: (...args: never[]) => unknown;
}
interface NativeBinding {
  readonly HTTPParser: {
    new (): NativeParser;
    readonly REQUEST: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
}

function nativeParser(): Reader {
  // It is in no types, being internal.
  const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as NativeBinding;
  let fields = 0;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeadersComplete | 0] = (_major: number, _minor: number, headers: string[]) => {
    fields = headers.length / 2;
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = () => undefined;
  parser[HTTPParser.kOnMessageComplete | 0] = () => undefined;
  return () => {
    const result = parser.execute(REQUEST);
    if (result instanceof Error) throw result;
    return fields;
  };
}

/** The types of Node have none for it. */
declare const WebAssembly: {
  instantiate(
    code: Uint8Array,
    imports: object,
  ): Promise<{ readonly instance: { readonly exports: object } }>;
};

/** What undici's build of llhttp offers. */
interface Llhttp {
  readonly memory: { readonly buffer: ArrayBuffer };
  llhttp_alloc(type: number): number;
  llhttp_execute(parser: number, at: number, length: number): number;
  malloc(size: number): number;
}
const WASM_REQUEST = 1;

async function wasmParser(): Promise<Reader> {
  // Undici has no export for it.
  const code = createRequire(import.meta.url)('undici/lib/llhttp/llhttp_simd-wasm.js') as Uint8Array;
  const strings: string[] = [];
  const text = (_parser: number, at: number, length: number): number => {
    strings.push(Buffer.from(llhttp.memory.buffer, at, length).toString('latin1'));
    return 0;
  };
  const ignore = (): number => 0;
  const { instance } = await WebAssembly.instantiate(code, {
    env: {
      wasm_on_url: text,
      wasm_on_status: ignore,
      wasm_on_message_begin: () => (strings.length = 0),
      wasm_on_header_field: text,
      wasm_on_header_value: text,
      wasm_on_headers_complete: ignore,
      wasm_on_body: ignore,
      wasm_on_message_complete: ignore,
    },
  });
  // Its exports have no types.
  const llhttp = instance.exports as Llhttp;
  const parser = llhttp.llhttp_alloc(WASM_REQUEST);
  const place = llhttp.malloc(REQUEST.length);
  return () => {
    new Uint8Array(llhttp.memory.buffer, place, REQUEST.length).set(REQUEST);
    if (llhttp.llhttp_execute(parser, place, REQUEST.length) !== 0) throw new Error('llhttp refuses it');
    return (strings.length - 1) / 2;
  };
}

function microsecondsOf(read: Reader): number {
  const before = process.cpuUsage();
  for (let done = 0; done < REQUESTS; done += 1)
    if (read() !== FIELDS) throw new Error(`not ${FIELDS} fields`);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / REQUESTS;
}

const readers = { own: ownParser(), native: nativeParser(), wasm: await wasmParser() };
for (const read of Object.values(readers)) microsecondsOf(read);
for (let round = 0; round < ROUNDS; round += 1) {
  const costs = Object.entries(readers).map(
    ([name, read]) => `${name} ${microsecondsOf(read).toFixed(2)} us`,
  );
  process.stdout.write(`${costs.join('   ')}\n`);
}
