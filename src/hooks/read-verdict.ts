import { scanMembers, type JsonMember } from '../api/json-scan.ts';
import { parseJson } from '../api/python-json.ts';
import type { HookVerdict } from './hook.ts';

/** Above this an answer is scanned for its members instead of being parsed: parsing would hold up every stream. */
const PARSE_LIMIT_BYTES = 1024 * 1024;
/** What is longer is no word and no reason. */
const TEXT_LIMIT_BYTES = 64 * 1024;

/**
 * Reads the JSON answer of a hook: `{action, reason?, body?}`. `body` is taken as the bytes it was sent in: parsing and
 * writing it again would change numbers that JavaScript cannot hold.
 */
export function readVerdict(json: Buffer): HookVerdict {
  const members = isJson(json) ? scanMembers(json) : undefined;
  if (!members) return bad('its answer is not a JSON object');
  const action = textOf(json, lastOf(members, 'action'));
  switch (action) {
    case undefined:
      return bad('its answer has no action');
    case 'allow':
      return { action };
    case 'reject':
      return { action, reason: textOf(json, lastOf(members, 'reason')) };
    case 'transform':
      return { action, body: bytesOf(json, lastOf(members, 'body')) };
    default:
      return { action: 'unknown' };
  }
}

function bad(message: string): HookVerdict {
  return { action: 'error', message, blame: 'hook' };
}

function isJson(bytes: Buffer): boolean {
  if (bytes.length > PARSE_LIMIT_BYTES) return true;
  return parse(bytes.toString('utf8')) !== undefined;
}

/** Of several members with one name the last counts, as it does to every common parser. */
function lastOf(members: readonly JsonMember[], key: string): JsonMember | undefined {
  return members.findLast((member) => member.key === key);
}

function textOf(json: Buffer, member: JsonMember | undefined): string | undefined {
  if (!member || member.end - member.start > TEXT_LIMIT_BYTES) return undefined;
  const value = parse(json.toString('utf8', member.start, member.end));
  return typeof value === 'string' ? value : undefined;
}

/** A copy, so that the rest of the answer can be let go of; `null` is no body. */
function bytesOf(json: Buffer, member: JsonMember | undefined): Buffer | undefined {
  if (!member) return undefined;
  const bytes = json.subarray(member.start, member.end);
  return bytes.length === 4 && bytes.toString('latin1') === 'null' ? undefined : Buffer.from(bytes);
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
