/** Kinds of layers that keep the whole prompt: what they hold is what a request can use again. */
const WHOLE_PROMPT: ReadonlySet<string> = new Set(['full_attention', 'mla_attention', 'sink_full_attention']);

/**
 * Models of several kinds of layers tell of each block once for each kind. One group is followed: the first that keeps the whole
 * prompt. Removals name the group alone, so it is learnt from what was stored.
 */
export class AttentionGroups {
  #followed: number | undefined;

  /** @param kind undefined where the engine is too old to say it: then the first group is it. */
  followsStored(group: number, kind: string | undefined): boolean {
    if (kind === undefined ? group !== 0 : !WHOLE_PROMPT.has(kind)) return false;
    this.#followed ??= group;
    return group === this.#followed;
  }

  followsRemoved(group: number): boolean {
    return group === (this.#followed ?? 0);
  }

  /** Another process may publish from now on. */
  forget(): void {
    this.#followed = undefined;
  }
}
