/** Nobody took the connection in time. */
export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';

  constructor(limitMs: number) {
    super(`no connection within ${limitMs / 1000} s`);
  }
}
