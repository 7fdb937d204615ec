/** What the system says where it is the router that cannot have another socket: descriptors, local ports, buffers. */
const SHORTAGE_CODES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL']);

/**
 * Whether an error says nothing about the other side, because it never got there. Where several addresses were tried,
 * one that was really asked decides: `localhost` without IPv6 is EADDRNOTAVAIL and whatever 127.0.0.1 said.
 */
export function isShortage(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isShortage);
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    SHORTAGE_CODES.has(error.code)
  );
}
