/** Why a connection came to its end; the label of the counter. */
export type EndCause =
  /** No connection could be made. */
  | 'unreachable'
  /** The peer closed it, or the network did. */
  | 'closed'
  /** Nothing came for too long: neither the greeting, nor READY, nor an answer to a PING. */
  | 'timeout'
  /** What answers there speaks something else. */
  | 'not_zmtp'
  /** It speaks ZMTP, but another version, mechanism or kind of socket, or says ERROR. */
  | 'refused'
  /** A frame or a message beyond the limits. */
  | 'too_large'
  /** A frame or a command that cannot be read. */
  | 'malformed';

/** What a peer sent cannot be gone on with: its connection ends. The message says what, in words of the protocol. */
export class ZmtpFault extends Error {
  override readonly name = 'ZmtpFault';
  readonly endCause: EndCause;

  constructor(cause: EndCause, message: string) {
    super(message);
    this.endCause = cause;
  }
}
