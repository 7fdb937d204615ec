import { anthropicType } from '../error-body.ts';
import { isObject } from '../prompt-sink.ts';
import { stringOf } from './ending.ts';

/** Longer ones are whole pages. */
const LONGEST_MESSAGE = 4096;

/**
 * A worker's error as Anthropic's clients know them, whatever it looks like: OpenAI's, FastAPI's, an older vLLM's, or text.
 *
 * @param before What is to be said before it.
 */
export function errorJson(status: number, body: string, before = ''): string {
  const message = messageOf(body) || `the worker answered with status ${status}`;
  return JSON.stringify(errorOf(status, before + message));
}

/** The same within a stream, whose status is in the error, if anywhere. */
export function errorEventOf(chunk: unknown): string {
  const error = isObject(chunk) && isObject(chunk['error']) ? chunk['error'] : chunk;
  const code = isObject(error) ? Number(error['code']) : NaN;
  const status = Number.isInteger(code) && code >= 400 && code < 600 ? code : 500;
  const message = textIn(error) || 'the worker says that the answer failed';
  return `event: error\ndata: ${JSON.stringify(errorOf(status, message))}\n\n`;
}

function errorOf(status: number, message: string): object {
  return {
    type: 'error',
    error: { type: anthropicType(status), message: message.slice(0, LONGEST_MESSAGE) },
  };
}

function messageOf(body: string): string {
  try {
    return textIn(JSON.parse(body));
  } catch {
    return body.trim();
  }
}

function textIn(value: unknown): string {
  let said = value;
  // One in another, as deep as JSON may be.
  while (isObject(said) && said['error'] !== undefined && said['error'] !== null) said = said['error'];
  if (typeof said === 'string') return said;
  if (!isObject(said)) return '';
  const { message, detail } = said;
  if (message !== undefined) return stringOf(message);
  return typeof detail === 'string' ? detail : detail === undefined ? '' : asJson(detail);
}

/** '' where it is too deep to be written. */
function asJson(detail: unknown): string {
  try {
    return JSON.stringify(detail);
  } catch {
    return '';
  }
}
