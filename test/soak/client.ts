import type { Random } from '../../src/base/random.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { TENANT_KEYS } from './soaked-router.ts';

/** What a client has to work with. */
export interface Place {
  readonly port: number;
  readonly random: Random;
}

/** One way of using, or misusing, the router. */
export interface SoakClient {
  readonly name: string;
  /** How often it has its turn, beside the others. */
  readonly share: number;
  /** How an exchange may end; anything else is a finding. */
  readonly fine: readonly string[];
  /** From connecting to the end, in a word or two. */
  exchange(place: Place): Promise<string>;
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | Buffer | string;
  readonly key?: string;
}

/** A request as it stands on the wire. */
export function requestBytes({ method = 'POST', path, headers = {}, body = '', key }: Asked): Buffer {
  const bytes = bodyBytes(body);
  const fields: Record<string, string> = {
    host: 'router',
    authorization: `Bearer ${key ?? TENANT_KEYS.free}`,
    'content-type': 'application/json',
    ...('transfer-encoding' in headers ? {} : { 'content-length': String(bytes.length) }),
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]);
}

function bodyBytes(body: object | Buffer | string): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Runs with a connection of its own, which is gone afterwards. */
export async function connected(
  { port }: Place,
  use: (client: RawClient) => Promise<string>,
): Promise<string> {
  const client = await RawClient.connect(port);
  try {
    return await use(client);
  } finally {
    client.socket.destroy();
  }
}

/** How the answer to what has been sent ends: its status, and `cut` where the connection ends before it does. */
export async function answer(client: RawClient, method = 'POST'): Promise<string> {
  try {
    return ending(await client.response({ method }));
  } catch {
    return 'cut';
  }
}

export function ask(place: Place, asked: Asked): Promise<string> {
  return connected(place, (client) => {
    client.send(requestBytes(asked));
    return answer(client, asked.method);
  });
}

const ENDS_OF_STREAMS = /data: \[DONE\]|event: message_stop|event: response\.(?:completed|incomplete)/;

function ending({ status, headers, body }: RawResponse): string {
  const isStream = headers.some(
    ([name, value]) => /^content-type$/i.test(name) && /event-stream/.test(value),
  );
  if (!isStream) return String(status);
  const text = body.toString('latin1');
  if (/^(?:event: error|data: \{"error")/m.test(text)) return `${status} error event`;
  return ENDS_OF_STREAMS.test(text) ? `${status} stream` : `${status} without an end`;
}

/** Whole, from 0 up to and without `below`. */
export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

export function oneOf<One>(random: Random, list: readonly [One, ...One[]]): One {
  return list[below(random, list.length)] ?? list[0];
}

/** Text of so many words, from a small stock of beginnings, so that prompts share prefixes. */
export function words(random: Random, count: number): string {
  const first = below(random, 8);
  return Array.from({ length: count }, (_, index) => `w${String((first * 7919 + index * 31) % 997)}`).join(
    ' ',
  );
}

export function chatBody(random: Random, more: object = {}): object {
  const content = words(random, 20 + below(random, 400));
  return { model: 'sim-model', messages: [{ role: 'user', content }], max_tokens: 16, ...more };
}
