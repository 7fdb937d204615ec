import type { Random } from '../../src/base/random.ts';
import { BadRequest, RequestParser } from '../../src/http1/request-parser.ts';

/** What a parser made of one request. */
export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly string[];
  readonly keepAlive: boolean;
  readonly upgrades: boolean;
  body: string;
  /** Undefined while it has not ended. */
  trailers: readonly string[] | undefined;
}

export interface ReadRequests {
  readonly requests: readonly ReadRequest[];
  /** Where each of those that have ended does. */
  readonly ends: readonly number[];
  readonly error: string | undefined;
}

/** Reads with the router's parser, pausing now and then. */
export function readWithOurs(cut: readonly Buffer[], maxHeadBytes: number, random: Random): ReadRequests {
  const requests: ReadRequest[] = [];
  const ends: number[] = [];
  let atEnd = false;
  const parser = new RequestParser(maxHeadBytes, {
    onHead({ method, target, minorVersion, headers, keepAlive, upgrade }) {
      const version = `1.${minorVersion}`;
      const upgrades = upgrade !== undefined;
      requests.push({ method, target, version, headers, keepAlive, upgrades, body: '', trailers: undefined });
      parser.paused = random() < 0.1;
    },
    onBody(piece) {
      const request = requests.at(-1);
      if (request) request.body += piece.toString('latin1');
      parser.paused = random() < 0.1;
    },
    onEnd(trailers) {
      const request = requests.at(-1);
      if (request) request.trailers = trailers;
      // So that what `push` has used tells where it ends.
      parser.paused = true;
      atEnd = true;
    },
  });
  let place = 0;
  try {
    for (const piece of cut) {
      for (let used = 0; used < piece.length || parser.paused;) {
        parser.paused = false;
        used += parser.push(piece.subarray(used));
        if (atEnd) ends.push(place + used);
        atEnd = false;
      }
      place += piece.length;
    }
  } catch (error) {
    if (!(error instanceof BadRequest)) throw error;
    return { requests, ends, error: error.message };
  }
  return { requests, ends, error: undefined };
}
