/** Stands for a long text in JSON. No other string is this where there are long texts: see `outlining`. */
const MARK = '\u0000';
const MARK_IN_JSON = JSON.stringify(MARK);

/** While JSON is made without its long texts: those that it came across. */
let apart: LongText[] | undefined;
/** No text that was written out could spell the mark. */
let isWhole = true;

/**
 * A long string of a body, without being one: strings above 128 KiB are memory pages of their own, which cost more than all that
 * is done with the text. It is a part of the body itself, or of what its escapes were decoded to.
 */
export class LongText {
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;
  readonly #isJson: boolean;

  /**
   * @param bytes Of which a part is the text, in UTF-8 that is as it should be.
   * @param isJson Whether that part is what JSON has between the quotes, too.
   */
  constructor(bytes: Buffer, start: number, end: number, isJson: boolean) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#isJson = isJson;
  }

  into(sink: TextSink): void {
    sink.utf8(this.#bytes, this.#start, this.#end);
  }

  toString(): string {
    return this.#bytes.toString('utf8', this.#start, this.#end);
  }

  toJSON(): string {
    if (!apart || !this.#isJson) {
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

/** The JSON of a value, its long texts from where they are. */
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
