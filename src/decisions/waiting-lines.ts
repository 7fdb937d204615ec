/** Lines that were made by another thread, each whole. */
export interface LineBatch {
  readonly bytes: Uint8Array;
  readonly lines: number;
  /** Called when they have been written or given up. */
  readonly onDone: () => void;
}

type Entry = string | LineBatch;

const LF = 0x0a;

/** Lines that wait to be written, oldest first: single ones as texts, and batches. */
export class WaitingLines {
  readonly #entries: Entry[] = [];
  #bytes = 0;

  /** Texts count as if each character were a byte. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  get lines(): number {
    return this.#entries.reduce((sum, entry) => sum + linesOf(entry), 0);
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += bytesOf(entry);
  }

  /** The oldest, up to `most` bytes, but at least one entry. */
  oldest(most: number): { readonly bytes: Buffer; readonly lines: number } {
    let size = 0;
    let lines = 0;
    let count = 0;
    for (const entry of this.#entries) {
      size += bytesOf(entry);
      if (count > 0 && size > most) break;
      count += 1;
      lines += linesOf(entry);
    }
    return { bytes: joined(this.#entries.slice(0, count)), lines };
  }

  /** The oldest `lines` are done with. */
  remove(lines: number): void {
    let left = lines;
    let count = 0;
    for (const entry of this.#entries) {
      if (linesOf(entry) > left) break;
      left -= linesOf(entry);
      count += 1;
      this.#bytes -= bytesOf(entry);
      if (typeof entry !== 'string') entry.onDone();
    }
    this.#entries.splice(0, count);
    const [first] = this.#entries;
    if (left === 0 || first === undefined || typeof first === 'string') return;
    const rest = first.bytes.subarray(endOfLine(first.bytes, left));
    this.#bytes -= first.bytes.length - rest.length;
    this.#entries[0] = { ...first, bytes: rest, lines: first.lines - left };
  }
}

function linesOf(entry: Entry): number {
  return typeof entry === 'string' ? 1 : entry.lines;
}

function bytesOf(entry: Entry): number {
  return typeof entry === 'string' ? entry.length : entry.bytes.length;
}

/** Texts that follow one another become bytes together. */
function joined(entries: readonly Entry[]): Buffer {
  const parts: Uint8Array[] = [];
  let texts: string[] = [];
  const endTexts = (): void => {
    if (texts.length > 0) parts.push(Buffer.from(texts.join('')));
    texts = [];
  };
  for (const entry of entries) {
    if (typeof entry === 'string') texts.push(entry);
    else {
      endTexts();
      parts.push(entry.bytes);
    }
  }
  endTexts();
  const [first] = parts;
  return parts.length === 1 && Buffer.isBuffer(first) ? first : Buffer.concat(parts);
}

/** Where the line after the `lines`-th begins. */
function endOfLine(bytes: Uint8Array, lines: number): number {
  let at = 0;
  for (let line = 0; line < lines; line += 1) at = bytes.indexOf(LF, at) + 1;
  return at;
}
