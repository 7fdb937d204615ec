import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

/**
 * Hands a file to `take`, a piece at a time, unzipped where its name ends in `.gz`. Resolves to what is wrong with its
 * compression, if anything: what could be unzipped has been handed over by then. Rejects with the system's error when
 * the file cannot be read, and with what `take` throws.
 */
export function readContents(path: string, take: (piece: Buffer) => void): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const file = createReadStream(path);
    const contents = path.endsWith('.gz') ? createGunzip() : undefined;
    const fail = (error: NodeJS.ErrnoException): void => {
      file.destroy();
      contents?.destroy();
      if (error.code?.startsWith('Z_') === true) resolve(error.message);
      else reject(error);
    };
    file.on('error', fail);
    contents?.on('error', fail);
    // Not by iteration: that forgets the pieces before an error.
    (contents ? file.pipe(contents) : file)
      .on('data', (piece: Buffer | string) => {
        try {
          take(typeof piece === 'string' ? Buffer.from(piece) : piece);
        } catch (error) {
          fail(error instanceof Error ? error : new Error(String(error)));
        }
      })
      .on('end', () => {
        resolve(undefined);
      });
  });
}
