/** Changes a body on its way to the client. What it holds back is bounded. */
export interface ResponseEditor {
  /** What may go on now; may be empty. */
  push(chunk: Buffer): Buffer;
  /** What was held back, when the body is complete. */
  end(): Buffer;
  /** Whether the client has got whole events so far, so that another one could follow. */
  readonly atEventBoundary: boolean;
}
