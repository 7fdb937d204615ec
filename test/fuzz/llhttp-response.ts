import { LlhttpReader } from './llhttp-reader.ts';
import { nothingRead, type ReadResponse } from './read-response.ts';

const MOST_HEAD_BYTES = 16 * 1024;

/** Reads one final response and the interim ones before it with Node's parser. */
export function readWithLlhttp(bytes: Buffer, method: string, ended: boolean): ReadResponse {
  const read = nothingRead();
  let interim = false;
  using reader = new LlhttpReader('responses', MOST_HEAD_BYTES, {
    onHead({ status, headers }) {
      read.statuses.push(status);
      interim = status < 200 && status !== 101;
      if (!read.done && !interim) read.headers = headers;
      return method !== 'HEAD';
    },
    onBody(piece) {
      if (!read.done) read.body += piece.toString('latin1');
    },
    onEnd(trailers) {
      if (interim) return;
      if (!read.done) read.trailers = trailers;
      read.done = true;
    },
  });
  reader.feed(bytes);
  if (ended && !read.done) reader.finish();
  read.error = reader.error;
  return read;
}
