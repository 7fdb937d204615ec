import type { ExternalRule } from '../../config/settings/settings.ts';

/** Where a request may go beside the fleet, or must: only because a rule, or the mode, says so. */
export interface ExternalWish extends Pick<ExternalRule, 'chain' | 'when' | 'saturatedAt'> {
  /** Pattern of the rule; undefined: everything goes there. */
  readonly rule: string | undefined;
  /** The fleet has no room for it: no place among its requests was taken. Set by `waitForTurn`. */
  overflows: boolean;
}
