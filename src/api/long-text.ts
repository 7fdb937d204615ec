/** Stands for a long text in JSON. No other string is this where there are long texts: see `outlining`. */
const MARK = '\u0000';
const MARK_IN_JSON = JSON.stringify(MARK);

/** While JSON is made without its long texts: those that it came across. */
let apart: LongText[] | undefined;
/** No text that was written out could spell the mark. */
let isWhole = true;

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
    if (!apart || !this.#bytes) {
      isWhole = false;
      return this.toString();
    }
    apart.push(this);
    return MARK;
  }
}

export interface TextSink {
  text(value: string): void;
  /** A part of these bytes, which is UTF-8 that is as it should be. */
  utf8(bytes: Buffer, start: number, end: number): void;
}

/** The JSON of a value. Of a text that lies in the body as bytes these are what JSON has between its quotes. */
export function jsonInto(value: unknown, sink: TextSink): void {
  const long: LongText[] = [];
  apart = long;
  isWhole = true;
  let json: string;
  try {
    json = JSON.stringify(value);
  } finally {
    apart = undefined;
  }
  if (!isWhole && long.length > 0) {
    sink.text(JSON.stringify(value));
    return;
  }
  let from = 0;
  for (const text of long) {
    const at = json.indexOf(MARK_IN_JSON, from);
    sink.text(json.slice(from, at + 1));
    text.into(sink);
    from = at + MARK_IN_JSON.length - 1;
  }
  sink.text(from === 0 ? json : json.slice(from));
}
