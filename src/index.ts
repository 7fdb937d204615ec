/** The programmatic API: `import { Router } from 'vllm-router'`. */
export { Router, ConfigError, type RunningRouter } from './router.ts';
export type { RouterOptions } from './config/options.ts';
export type { Decision, CandidateRecord, AttemptRecord } from './request/decision.ts';
export { EXPLAIN_HEADERS } from './request/explain.ts';
export { ERRORS, type ErrorCode } from './base/errors.ts';
