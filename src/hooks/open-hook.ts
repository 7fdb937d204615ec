import type { Clock } from '../base/clock.ts';
import type { OverrunCells } from '../base/overruns.ts';
import type { HttpHookSettings, HookSettings } from '../config/settings/settings.ts';
import type { OpenHook } from './chain.ts';
import { HttpHook, type AnswerBytes } from './http-hook.ts';
import type { OnPluginTrouble } from '../routing/policy.ts';
import { PluginHook } from './plugin-hook.ts';
import type { HookTransport } from './transport.ts';

export interface OpenHookDeps {
  readonly bytes: AnswerBytes;
  /** Opens connections to a service as they are needed. */
  readonly connect: (address: HttpHookSettings['address']) => HookTransport;
  readonly clock: Clock;
  /** Told what goes wrong with hooks that plugins bring. */
  readonly onPluginTrouble: OnPluginTrouble;
  readonly overruns: OverrunCells;
}

/** Makes what an entry of `pre_routing_hooks` stands for. */
export function openHook({ source }: HookSettings, deps: OpenHookDeps): OpenHook {
  if (source.kind === 'plugin') return new PluginHook(source, { ...deps, report: deps.onPluginTrouble });
  const hook = new HttpHook(source, { transport: deps.connect(source.address), bytes: deps.bytes });
  return {
    run: (input, signal) => hook.run(input, signal),
    close: () => {
      hook.close();
    },
    reconfigure: (settings) => {
      if (settings.source.kind === 'http') hook.reconfigure(settings.source);
    },
  };
}
