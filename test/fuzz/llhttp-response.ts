import { HTTPParser } from './native-parser.ts';
import type { ReadResponse } from './read-response.ts';

/** Reads one final response and the interim ones before it. */
export function readWithLlhttp(bytes: Buffer, method: string, ended: boolean): ReadResponse {
  const read: ReadResponse = {
    error: undefined,
    statuses: [],
    headers: [],
    body: '',
    trailers: [],
    done: false,
  };
  const parser = new HTTPParser();
  let more: string[] = [];
  let interim = false;
  parser.initialize(HTTPParser.RESPONSE, {});
  parser[HTTPParser.kOnHeaders | 0] = (headers: string[]) => {
    more = [...more, ...headers];
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (
    ...[, , headers, , , status]: [number, number, string[] | undefined, number, string, number]
  ) => {
    read.statuses.push(status);
    interim = status < 200 && status !== 101;
    if (!read.done && !interim) read.headers = [...more, ...(headers ?? [])];
    more = [];
    return method === 'HEAD' ? 1 : 0;
  };
  parser[HTTPParser.kOnBody | 0] = (piece: Buffer) => {
    if (!read.done) read.body += piece.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    if (interim) return;
    if (!read.done) read.trailers = more;
    more = [];
    read.done = true;
  };
  const result = parser.execute(bytes);
  if (result instanceof Error) read.error = result.message;
  else if (ended && !read.done) {
    const error = parser.finish();
    if (error instanceof Error) read.error = error.message;
  }
  return read;
}
