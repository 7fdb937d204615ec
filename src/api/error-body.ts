import type { ErrorSpec } from '../base/errors.ts';

/** Whose error shape the caller understands. */
export type Dialect = 'openai' | 'anthropic';

export interface ErrorFacts {
  readonly code: string;
  readonly spec: ErrorSpec;
  readonly message: string;
  /** The field of the request that is to blame, for OpenAI's shape. */
  readonly param?: string | undefined;
}

/** The JSON body of an error made by the router: OpenAI's `{error: {...}}`, or Anthropic's on its routes. */
export function errorBody(dialect: Dialect, facts: ErrorFacts): string {
  if (dialect === 'anthropic') {
    return JSON.stringify({
      type: 'error',
      error: { type: anthropicType(facts.spec.status), message: facts.message, code: facts.code },
    });
  }
  return JSON.stringify({
    error: { message: facts.message, type: facts.spec.type, param: facts.param ?? null, code: facts.code },
  });
}

/** The same as one server-sent event, for streams that have begun. Never followed by `[DONE]`. */
export function errorEvent(dialect: Dialect, facts: ErrorFacts): string {
  const body = errorBody(dialect, facts);
  return dialect === 'anthropic' ? `event: error\ndata: ${body}\n\n` : `data: ${body}\n\n`;
}

/** Anthropic's documented `error.type` for a status. */
export function anthropicType(status: number): string {
  switch (status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 413:
      return 'request_too_large';
    case 429:
      return 'rate_limit_error';
    case 503:
      return 'overloaded_error';
    case 408:
    case 504:
      return 'timeout_error';
    default:
      return status < 500 ? 'invalid_request_error' : 'api_error';
  }
}
