/** The programmatic API: `import { Router } from 'vllm-router'`. */
export { Router, ConfigError, type RunningRouter } from './router.ts';
export type { ReloadChange, ReloadReport } from './admin/reload-report.ts';
export type { RouterOptions } from './config/load/options.ts';
export type { Decision, CandidateRecord, AttemptRecord } from './request/record/decision.ts';
export { EXPLAIN_HEADERS } from './request/answer/explain.ts';
export {
  defineHook,
  definePlugin,
  definePolicy,
  ParameterError,
  PLUGIN_API_VERSION,
  type HookPlugin,
  type Plugin,
  type PluginHook,
  type PluginHookRequest,
  type PluginPolicy,
  type PluginVerdict,
  type PolicyPlugin,
  type RawParameters,
} from './plugins/plugin.ts';
export {
  EXCLUDED,
  type Ask,
  type CacheMatch,
  type CacheView,
  type Choice,
  type Exclusion,
  type HashKey,
  type LoadView,
  type Member,
  type PolicyDeps,
  type PolicyEvent,
  type Pool,
} from './routing/policy.ts';
export type { PromptBlocks } from './routing/blocks.ts';
export type { Clock, Timer } from './base/clock.ts';
export type { Random } from './base/random.ts';
export { ERRORS, type ErrorCode } from './base/errors.ts';
