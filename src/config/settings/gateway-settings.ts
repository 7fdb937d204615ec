import { ms } from './ms.ts';
import type { KnownPlugins } from '../schema/plugin-policy-schema.ts';
import { policyDefaults, policySettings } from './policy-settings.ts';
import type { Config } from '../schema/schema.ts';
import type { Settings } from './settings.ts';

/** Compiles what concerns many models behind one address. */
export function gatewaySettings(
  config: Config,
  plugins: KnownPlugins,
): Pick<Settings, 'gateway' | 'unknownModel' | 'modelPolicies' | 'engineWaitMs'> {
  return {
    gateway: config.enable_igw,
    unknownModel: config.unknown_model ?? (config.enable_igw ? 'reject' : 'pass'),
    modelPolicies: Object.entries(config.model_policies).map(([model, policy]) => ({
      model,
      policy: policySettings(policy, policyDefaults(config), plugins),
    })),
    engineWaitMs: ms(config.engine_wait_timeout_secs),
  };
}
