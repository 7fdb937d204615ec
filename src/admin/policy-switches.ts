import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import { JoinedMemory, SharedMemory, type Regions, type ThreadMemory } from '../base/thread-memory.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import { policySettings } from '../config/settings/policy-settings.ts';
import type { PolicyDefaults } from '../config/settings/cache-knowledge.ts';
import type { Log } from '../observe/log.ts';
import type { SwitchablePolicies } from './deps.ts';
import { isPairCost } from '../config/schema/stage-policy-schema.ts';
import type { PdStage } from '../config/settings/settings.ts';
import type { PolicyBody, StagePolicyBody } from './policy-body.ts';

/** One switch: of a model's policy, of that of one half of requests, or of the default one. `policy` null: it is what it would be without. */
export type PolicySwitched =
  | { readonly model?: string | undefined; readonly stage?: undefined; readonly policy: PolicyBody | null }
  | { readonly stage: PdStage; readonly policy: StagePolicyBody | null };

/** To a request thread: switch as control has done. With the shared memory of by then, in which the policy may have a part. */
export const SWITCHED: MessageKind<{
  readonly switches: readonly PolicySwitched[];
  readonly regions: Regions | undefined;
}> = { name: 'policies:switched' };

/** From a request thread that begins, and knows of the configuration alone. */
export const SWITCHES_WANTED: MessageKind<undefined> = { name: 'policies:wanted' };

/** In control: what was switched since the configuration came into force, for every thread. */
export class PolicySwitches {
  readonly #memory: ThreadMemory;
  readonly #channels: Channels | undefined;
  /** By what is switched; as many as can be switched at once. */
  readonly #switches = new Map<string, PolicySwitched>();

  /** @param channels Undefined where there are no other threads. */
  constructor(memory: ThreadMemory, channels: Channels | undefined) {
    this.#memory = memory;
    this.#channels = channels;
    channels?.on(SWITCHES_WANTED, (row) => {
      channels.to(row)?.post(SWITCHED, this.#message([...this.#switches.values()]));
    });
  }

  /** It has been done in this thread. */
  add(switched: PolicySwitched): void {
    const key = keyOf(switched);
    if (switched.policy === null) this.#switches.delete(key);
    else this.#switches.set(key, switched);
    this.#channels?.broadcast(SWITCHED, this.#message([switched]));
  }

  /** A configuration comes into force, which undoes them: each thread does so when it comes into force there. */
  clear(): void {
    this.#switches.clear();
  }

  #message(switches: readonly PolicySwitched[]) {
    const regions = this.#memory instanceof SharedMemory ? this.#memory.regions : undefined;
    return { switches, regions };
  }
}

export interface SwitchFollowerDeps {
  readonly memory: ThreadMemory;
  readonly channel: Channel;
  readonly policies: Pick<SwitchablePolicies, 'switchTo' | 'switchBack' | 'switchStage'>;
  readonly plugins: KnownPlugins;
  readonly log: Log;
  /** Those in force. */
  readonly settings: () => PolicyDefaults;
}

/** In a request thread: switches policies as control does. */
export function followSwitches(deps: SwitchFollowerDeps): void {
  const { channel, memory, log } = deps;
  channel.on(SWITCHED, ({ switches, regions }) => {
    if (regions && memory instanceof JoinedMemory) memory.adopt(regions);
    for (const switched of switches) {
      try {
        follow(switched, deps);
      } catch (error) {
        // Control could; what differs is a plugin, which each thread has for itself.
        log.error({ err: error, of: keyOf(switched) }, 'a policy could not be switched in a request thread');
      }
    }
  });
  channel.post(SWITCHES_WANTED, undefined);
}

function keyOf(switched: PolicySwitched): string {
  if (switched.stage !== undefined) return `stage ${switched.stage}`;
  return switched.model === undefined ? 'default' : `model ${switched.model}`;
}

function follow(switched: PolicySwitched, deps: SwitchFollowerDeps): void {
  const { policies, plugins, settings } = deps;
  if (switched.stage !== undefined) {
    const { stage, policy } = switched;
    const compiled = policy && (isPairCost(policy) ? policy : policySettings(policy, settings(), plugins));
    policies.switchStage(stage, compiled ?? undefined);
    return;
  }
  const { model, policy } = switched;
  if (policy !== null) policies.switchTo(policySettings(policy, settings(), plugins), model);
  else if (model !== undefined) policies.switchBack(model);
}
