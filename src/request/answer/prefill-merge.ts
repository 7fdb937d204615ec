import { ByteCollector } from '../../base/byte-collector.ts';
import { withPrompt } from './prompt-logprobs.ts';
import type { ResponseEditor } from './response-editor.ts';

/** Of either's answer: they are merged in one go, some 10 ms for a megabyte. The decode worker's is held until it is whole. */
export const MOST_MERGED_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Puts what the prefill worker said of the prompt into the decode worker's answer; a longer one passes without. */
export class PrefillMerge implements ResponseEditor {
  readonly atEventBoundary = false;
  readonly #prefill: Buffer;
  /** For everything else that is changed. */
  readonly #then: ResponseEditor;
  readonly #onUnmerged: () => void;
  readonly #held = new ByteCollector();
  #passes: boolean;

  constructor(prefill: Buffer, then: ResponseEditor, onUnmerged: () => void) {
    this.#prefill = prefill;
    this.#then = then;
    this.#onUnmerged = onUnmerged;
    this.#passes = prefill.length > MOST_MERGED_BYTES;
    if (this.#passes) onUnmerged();
  }

  push(chunk: Buffer): Buffer {
    if (this.#passes) return this.#then.push(chunk);
    this.#held.push(chunk);
    if (this.#held.size <= MOST_MERGED_BYTES) return NOTHING;
    this.#passes = true;
    this.#onUnmerged();
    return this.#then.push(this.#held.take());
  }

  end(): Buffer {
    const body = this.#held.take();
    const merged = this.#passes ? body : (withPrompt(body, this.#prefill) ?? body);
    return Buffer.concat([this.#then.push(merged), this.#then.end()]);
  }
}
