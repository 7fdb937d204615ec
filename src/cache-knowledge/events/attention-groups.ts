/**
 * Models of several kinds of layers tell of each block once for each kind. One group is followed: the first that keeps the whole
 * prompt. Removals name the group alone, so it is learnt from what was stored.
 */
export class AttentionGroups {
  #followed: number | undefined;

  /** @param keepsAll whether its layers keep the whole prompt; undefined where the engine is too old to say it: then group 0 does. */
  followsStored(group: number, keepsAll: boolean | undefined): boolean {
    if (!(keepsAll ?? group === 0)) return false;
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
