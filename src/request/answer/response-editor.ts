/** Changes a body on its way to the client. What it holds back is bounded. */
export interface ResponseEditor {
  /** What may go on now; may be empty. */
  push(chunk: Buffer): Buffer;
  /** What was held back, when the body is complete. */
  end(): Buffer;
  /** Whether the client has got whole events so far, so that another one could follow. */
  readonly atEventBoundary: boolean;
  /** Why there is no such answer as it was to become: it counts as broken. Asked after every piece, and at the end. */
  readonly problem?: string | undefined;
  /** Whether all of it goes on at its end, whatever its length. */
  readonly isWhole?: boolean;
  /** What it is then, in the place of what the worker said. */
  readonly contentType?: string;
}
