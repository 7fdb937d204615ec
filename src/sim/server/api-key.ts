import type { IncomingMessage } from 'node:http';

/** vLLM checks keys on these paths only; everything else is open. */
const GUARDED = /^\/(v1|v2|inference|cohere)/;

/** Whether the request may pass: the path is open, no keys are set, or it carries one of them. */
export function isAuthorized(keys: readonly string[], request: IncomingMessage, path: string): boolean {
  if (keys.length === 0 || !GUARDED.test(path)) return true;
  const match = /^bearer (.*)$/i.exec(request.headers.authorization ?? '');
  return match !== null && keys.includes(match[1] ?? '');
}
