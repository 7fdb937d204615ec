import { ByteCollector } from '../../base/byte-collector.ts';
import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { JsonEditor } from './json-editor.ts';
import type { ResponseEditor } from './response-editor.ts';

const NOTHING = Buffer.alloc(0);

/** Changes top-level members of a short JSON object once it is whole, so that its new length is known before any of it goes on. */
export class WholeEditor implements ResponseEditor {
  readonly atEventBoundary = false;
  readonly #edits: readonly MemberEdit[];
  readonly #held = new ByteCollector();

  constructor(edits: readonly MemberEdit[]) {
    this.#edits = edits;
  }

  push(chunk: Buffer): Buffer {
    this.#held.push(chunk);
    return NOTHING;
  }

  end(): Buffer {
    const body = this.#held.take();
    return editMembers(body, this.#edits) ?? this.#asItPasses(body);
  }

  /** Of what is no object a client must not hear more than of what is. */
  #asItPasses(body: Buffer): Buffer {
    const editor = new JsonEditor(this.#edits);
    return Buffer.concat([editor.push(body), editor.end()]);
  }
}
