import { createServer, type AddressInfo } from 'node:net';

/**
 * The port that several listeners are to share. It is listened on by one alone first: with the option that lets them share, a second
 * router on the same port would join them without a word.
 *
 * @param port 0 = any that is free.
 */
export function probePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port }, () => {
      // A TCP listener's address is never a string or null.
      const { port: real } = server.address() as AddressInfo;
      server.close(() => {
        resolve(real);
      });
    });
  });
}
