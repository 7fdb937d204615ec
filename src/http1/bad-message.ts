/** Bytes that are not HTTP/1.1 as this router reads it. The message says what is wrong with them. */
export class BadMessage extends Error {
  override readonly name = 'BadMessage';
  /** Whether there is only too much of it. */
  readonly isTooLarge: boolean;

  constructor(message: string, isTooLarge = false) {
    super(message);
    this.isTooLarge = isTooLarge;
  }
}
