/**
 * A long string of a body, without being one: strings above 128 KiB are memory pages of their own, which cost more than all that
 * is done with the text. It is the bytes themselves where they say what they spell, else the decoded text in pieces.
 */
export class LongText {
  readonly #bytes: Buffer | undefined;
  readonly #start: number;
  readonly #end: number;
  readonly #pieces: readonly string[];

  private constructor(bytes: Buffer | undefined, start: number, end: number, pieces: readonly string[]) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#pieces = pieces;
  }

  /** A part of these bytes, which is UTF-8 that is as it should be. */
  static ofBytes(bytes: Buffer, start: number, end: number): LongText {
    return new LongText(bytes, start, end, []);
  }

  static ofPieces(pieces: readonly string[]): LongText {
    return new LongText(undefined, 0, 0, pieces);
  }

  /** Hands the text on, piece by piece. */
  into(sink: TextSink): void {
    if (this.#bytes) sink.utf8(this.#bytes, this.#start, this.#end);
    for (const piece of this.#pieces) sink.text(piece);
  }

  toString(): string {
    return this.#bytes?.toString('utf8', this.#start, this.#end) ?? this.#pieces.join('');
  }

  toJSON(): string {
    return this.toString();
  }
}

export interface TextSink {
  text(value: string): void;
  /** A part of these bytes, which is UTF-8 that is as it should be. */
  utf8(bytes: Buffer, start: number, end: number): void;
}
