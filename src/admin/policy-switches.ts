import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import { JoinedMemory, SharedMemory, type Regions, type ThreadMemory } from '../base/thread-memory.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import { policySettings } from '../config/settings/policy-settings.ts';
import type { PolicyDefaults } from '../config/settings/cache-knowledge.ts';
import type { Log } from '../observe/log.ts';
import type { SwitchablePolicies } from './deps.ts';
import type { PolicyBody } from './policy-body.ts';

/** One switch; `model` undefined: of the default policy. `policy` null: the model has what it would have without. */
export interface PolicySwitched {
  readonly model: string | undefined;
  readonly policy: PolicyBody | null;
}

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
  /** By model; as many as can be switched at once. */
  readonly #switches = new Map<string | undefined, PolicyBody>();

  /** @param channels Undefined where there are no other threads. */
  constructor(memory: ThreadMemory, channels: Channels | undefined) {
    this.#memory = memory;
    this.#channels = channels;
    channels?.on(SWITCHES_WANTED, (row) => {
      const switches = [...this.#switches].map(([model, policy]) => ({ model, policy }));
      channels.to(row)?.post(SWITCHED, this.#message(switches));
    });
  }

  /** It has been done in this thread. */
  add(switched: PolicySwitched): void {
    const { model, policy } = switched;
    if (policy === null) this.#switches.delete(model);
    else this.#switches.set(model, policy);
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
  readonly policies: Pick<SwitchablePolicies, 'switchTo' | 'switchBack'>;
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
        log.error(
          { err: error, model: switched.model },
          'a policy could not be switched in a request thread',
        );
      }
    }
  });
  channel.post(SWITCHES_WANTED, undefined);
}

function follow({ model, policy }: PolicySwitched, deps: SwitchFollowerDeps): void {
  const { policies, plugins, settings } = deps;
  if (policy !== null) policies.switchTo(policySettings(policy, settings(), plugins), model);
  else if (model !== undefined) policies.switchBack(model);
}
