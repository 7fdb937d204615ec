import { BadResponse, ResponseParser } from '../../src/http1/response-parser.ts';

/** What a parser made of some bytes. */
export interface ReadResponse {
  error: string | undefined;
  /** Of the interim heads and the final one. */
  statuses: number[];
  headers: string[];
  body: string;
  trailers: string[];
  done: boolean;
}

export function nothingRead(): ReadResponse {
  return { error: undefined, statuses: [], headers: [], body: '', trailers: [], done: false };
}

/** Reads with the router's parser; `used` = how many bytes it took for its own. */
export function readWithOurs(
  cut: readonly Buffer[],
  method: string,
  ended: boolean,
): ReadResponse & { readonly used: number } {
  const read = nothingRead();
  const parser = new ResponseParser(method, 16 * 1024, {
    onHead({ status, headers }) {
      read.statuses.push(status);
      if (status >= 200 || status === 101) read.headers = headers;
    },
    onBody(piece) {
      read.body += piece.toString('latin1');
    },
    onEnd(trailers) {
      read.trailers = [...trailers];
    },
  });
  let used = 0;
  try {
    for (const piece of cut) {
      if (parser.done) break;
      used += parser.push(piece);
    }
    read.done = parser.done || (ended && parser.finish());
  } catch (error) {
    if (!(error instanceof BadResponse)) throw error;
    read.error = error.message;
  }
  return { ...read, used };
}
