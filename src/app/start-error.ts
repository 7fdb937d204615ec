import { readEndpoint, type Endpoint } from '../zmtp/endpoint.ts';
import { systemCode, systemReason } from '../base/system-reason.ts';

/** Why a router cannot start. The message is whole: what could not be done, which setting says so, and why. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** The system's, e.g. `EADDRINUSE`. */
  readonly code: string | undefined;

  constructor(what: string, cause: unknown) {
    const code = systemCode(cause);
    // What comes from another thread has no code, and Node's own codes say less than its words.
    const isSystems = code !== undefined && !code.startsWith('ERR_');
    const reason = !isSystems && cause instanceof Error ? cause.message : systemReason(cause);
    super(`${what}: ${reason}`, { cause });
    this.code = code;
  }
}

/** Listens at `host:port` of a flag. Rejects with a `StartError`. */
export async function listenAt<Opened>(
  address: string,
  flag: string,
  open: (endpoint: Endpoint) => Promise<Opened>,
): Promise<Opened> {
  const what = `cannot listen on ${address} (${flag})`;
  const endpoint = readEndpoint(`tcp://${address}`);
  if (!endpoint) throw new StartError(what, new Error('expected host:port'));
  return open(endpoint).catch((error: unknown) => {
    throw new StartError(what, error);
  });
}

/** The address that could not be listened on, and the flag that names the part of it that is to blame. */
export function cannotListen(
  { host, port }: { readonly host: string; readonly port: number },
  flags: { readonly host: string; readonly port: string },
  cause: unknown,
): StartError {
  const ofPort = ['EADDRINUSE', 'EACCES'].includes(systemCode(cause) ?? '');
  const address = `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
  return new StartError(`cannot listen on ${address} (${ofPort ? flags.port : flags.host})`, cause);
}
