import { hash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Random } from '../../../src/base/random.ts';
import { below, oneOf } from '../mutate.ts';

const POOL = randomBytes(512 * 1024);
/** Most bodies are short, some empty, a few larger than anything that is read or buffered at once. */
const SIZES = [0, 1, 100, 100, 2_000, 2_000, 2_000, 20_000, 150_000];

export function digest(bytes: Buffer): string {
  return hash('sha1', bytes);
}

export function bodyBytes(random: Random): Buffer {
  const size = below(random, oneOf(random, SIZES) + 1);
  const start = below(random, POOL.length - size);
  return POOL.subarray(start, start + size);
}

/** In chunks of random sizes, with the last one. */
export function inChunks(body: Buffer, random: Random): Buffer {
  const parts: Buffer[] = [];
  const most = oneOf(random, [7, 300, 5_000, body.length + 1]);
  for (let at = 0; at < body.length;) {
    // At most some hundred, however large it is.
    const size = Math.min(body.length - at, 1 + Math.floor(body.length / 200) + below(random, most));
    const written = random() < 0.5 ? size.toString(16) : size.toString(16).toUpperCase().padStart(5, '0');
    parts.push(Buffer.from(`${written}${random() < 0.05 ? ';a="b"' : ''}\r\n`));
    parts.push(body.subarray(at, at + size), Buffer.from('\r\n'));
    at += size;
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

/** Writes the bytes cut anywhere, some of the pieces in a turn of their own. Ends early where the connection does. */
export async function writeCut(socket: Socket, bytes: Buffer, random: Random): Promise<void> {
  let from = 0;
  for (const place of [...cuts(bytes.length, random), bytes.length]) {
    if (socket.destroyed) return;
    if (place > from && !socket.write(bytes.subarray(from, place))) await drained(socket);
    from = place;
    if (random() < 0.5) await nextTurn();
  }
}

/** None, some anywhere, or a run of single bytes; heads are cut more often than bodies. */
function cuts(length: number, random: Random): number[] {
  switch (below(random, 4)) {
    case 0:
      return [];
    case 1:
      return places(below(random, 6), random, length);
    case 2:
      return places(below(random, 6), random, Math.min(length, 800));
    default: {
      const start = below(random, length + 1);
      return Array.from({ length: Math.min(12, length - start) }, (_, index) => start + index);
    }
  }
}

function places(count: number, random: Random, within: number): number[] {
  return Array.from({ length: count }, () => below(random, within + 1)).sort((left, right) => left - right);
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

/** The only value of a header; undefined where there is none, or where there are two. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  const found = headers.flatMap((key, index) =>
    index % 2 === 0 && key.toLowerCase() === name ? [headers[index + 1]] : [],
  );
  return found.length === 1 ? found[0] : undefined;
}
