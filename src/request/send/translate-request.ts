import { chatRequest, tokenizeRequest } from '../../api/anthropic/request.ts';
import { Untranslatable } from '../../api/anthropic/untranslatable.ts';
import { bomLength } from '../../api/json-scan.ts';
import { parseExactly } from '../../api/exact-numbers.ts';
import { jsonInto } from '../../api/long-text.ts';
import { outlining } from '../../api/outline.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import type { Pieces } from '../../base/in-pieces.ts';
import type { Translated } from '../../api/anthropic/translated.ts';

/** From here on long texts stay where they are. */
const OUTLINE_BYTES = 32 * 1024;

/**
 * The body of a request of Anthropic's API in OpenAI's words: in those of vLLM, or in those that every provider knows. It yields after every
 * piece of a long one. Throws `Untranslatable`.
 */
export function* translating(
  body: Buffer,
  as: Translated['as'],
  whom: 'vllm' | 'anybody' = 'vllm',
): Pieces<Buffer> {
  const bytes = body.subarray(bomLength(body));
  const outlined = bytes.length < OUTLINE_BYTES ? undefined : yield* outlining(bytes);
  const value = isObject(outlined) ? outlined : parsed(bytes);
  return asJson(as === 'count' ? tokenizeRequest(value) : chatRequest(value, { for: whom }));
}

function parsed(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = parseExactly(bytes.toString('utf8'));
  } catch {
    throw new Untranslatable('body', 'expected a JSON object');
  }
  if (!isObject(value)) throw new Untranslatable('body', 'expected a JSON object');
  return value;
}

function asJson(value: JsonObject): Buffer {
  const parts: Buffer[] = [];
  jsonInto(value, {
    text: (text) => parts.push(Buffer.from(text)),
    utf8: (from, start, end) => parts.push(from.subarray(start, end)),
  });
  const [only] = parts;
  return parts.length === 1 && only ? only : Buffer.concat(parts);
}
