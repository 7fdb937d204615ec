import type { AdminDeps } from './deps.ts';
import type { EngineLoads } from './engine-loads.ts';
import type { PdStage } from '../config/settings/settings.ts';
import type { PolicyBody, StagePolicyBody } from './policy-body.ts';
import type { PolicySwitches } from './policy-switches.ts';
import type { Registrar } from './registrar.ts';
import type { StateFile } from './state-file.ts';

/** What every handler has at hand. */
export interface AdminContext extends AdminDeps {
  readonly registrar: Registrar;
  readonly loads: EngineLoads;
  readonly stateFile: StateFile | undefined;
  /** `clock.now()` of the start. */
  readonly startedAt: number;
  /** The policy in use, in the words of the configuration. */
  policyShown: PolicyBody;
  /** The same of the models whose policy was switched. */
  readonly modelPoliciesShown: Map<string, PolicyBody>;
  /** The same of the halves of requests whose policy was switched. */
  readonly stagePoliciesShown: Map<PdStage, StagePolicyBody>;
  /** The same for other threads. */
  readonly switches: PolicySwitches;
  /** Resolves when whatever was changed is so in every thread. */
  readonly caughtUp: () => Promise<void>;
}
