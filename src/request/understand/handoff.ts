import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { readBoolean, readInteger } from '../../api/python-json.ts';
import type { Cap } from '../../engines/prefill-decode/bodies.ts';
import type { Endpoint } from '../arrive/endpoints.ts';

/** How the prompt of a request is computed apart from its answer. */
export interface HandoffTerms {
  /** The field that says how long the answer may be. */
  readonly cap: Cap;
  /** The answer is to say something of the prompt's own tokens, which only their worker knows. */
  readonly ofPrompt: boolean;
  /** About how many bytes that will be for each of them. */
  readonly bytesPerPromptToken: number;
}

/**
 * `no`: one worker has to do all of it. Blocks are handed over for one answer, which is awaited; and in a stream nothing can be put in its
 * place that another worker said of the prompt.
 */
export function handoffOf(
  { class: kind, handoff: cap }: Endpoint,
  fields: JsonObject,
  { samples, stream }: { readonly samples: number; readonly stream: boolean },
): HandoffTerms | 'no' | undefined {
  if (kind !== 'inference') return undefined;
  if (cap === undefined || samples > 1) return 'no';
  if ((readInteger(fields['best_of']) ?? 1) > 1 || saysTrue(fields['use_beam_search'])) return 'no';
  if (saysTrue(fields['background'])) return 'no';
  // The prompt would be computed for nothing.
  if (!isCap(cap, fields)) return 'no';
  const tellsPrompt = saysTrue(fields['echo']) || isGiven(fields['prompt_logprobs']);
  if (stream && tellsPrompt) return 'no';
  const ofPrompt = tellsPrompt || isGiven(fields['logprobs']) || saysTrue(fields['return_logprob']);
  const each =
    readInteger(fields['prompt_logprobs']) ??
    (saysTrue(fields['echo']) ? readInteger(fields['logprobs']) : undefined);
  return {
    cap,
    ofPrompt,
    bytesPerPromptToken: each === undefined ? 0 : LOGPROB_BYTES * (1 + Math.max(0, each)),
  };
}

/** Of one token: its id, its text, its rank and its number. */
const LOGPROB_BYTES = 80;

/** Whether an answer may be as long as the request says: no worker takes another one. */
function isCap(cap: Cap, fields: JsonObject): boolean {
  const { sampling_params: sampling } = fields;
  const given =
    cap === 'sampling_params'
      ? [isObject(sampling) ? sampling['max_tokens'] : undefined]
      : [fields[cap], cap === 'max_tokens' ? fields['max_completion_tokens'] : undefined];
  return given.every((value) => {
    if (value === undefined || value === null) return true;
    const isFraction = typeof value === 'number' && !Number.isInteger(value);
    return !isFraction && (readInteger(value) ?? 0) >= 1;
  });
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false;
}

function saysTrue(value: unknown): boolean {
  return readBoolean(value) === true;
}
