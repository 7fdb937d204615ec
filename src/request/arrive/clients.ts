import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../base/clock.ts';
import type { ThreadPart } from '../../base/thread-part.ts';
import type { AuthSettings } from '../../config/settings/settings.ts';
import { byControl, byServices, judgeForThreads, type AskService } from '../../limits/key-judges.ts';
import { KeyVerdicts, type VerdictSettings } from '../../limits/key-verdicts.ts';
import { Tenants } from '../../limits/tenants.ts';

/** What is known of those who call, whatever way their keys are checked. It outlives a reload. */
export class Clients {
  readonly tenants: Tenants;
  readonly verdicts: KeyVerdicts;
  #terms: VerdictSettings;

  constructor(auth: AuthSettings, clock: Clock, ask: AskService, part: ThreadPart) {
    this.tenants = new Tenants(auth, clock, part.memory);
    this.#terms = termsOf(auth);
    const judge = part.kind === 'request' ? byControl(part.channel, clock) : byServices(ask, clock);
    this.verdicts = new KeyVerdicts(this.#terms, judge, clock);
    if (part.kind === 'control') judgeForThreads(part.channels, this.verdicts);
  }

  /** Returns the names of the tenants that are gone. */
  reconfigure(auth: AuthSettings): readonly string[] {
    const terms = termsOf(auth);
    if (!isDeepStrictEqual(terms, this.#terms)) this.verdicts.reconfigure(terms);
    this.#terms = terms;
    return this.tenants.reconfigure(auth);
  }
}

const NOBODY_TO_ASK: VerdictSettings = { urls: [], ttlMs: 0, refusalTtlMs: 0, timeoutMs: 0 };

function termsOf(auth: AuthSettings): VerdictSettings {
  return auth.kind === 'remote' ? auth : NOBODY_TO_ASK;
}
