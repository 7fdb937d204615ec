import { RouterError } from '../../base/errors.ts';
import { isObject, plain, type JsonObject } from '../../api/prompt-sink.ts';
import { fieldText, readForm, repeatsDecidingFormField } from '../../api/form-field.ts';
import { readBoolean, readInteger } from '../../api/python-json.ts';
import { queryValues } from '../../api/query-parameter.ts';
import { headerOf, repeatsHeader } from '../../http/headers.ts';
import { readBody, refuseTooLong, StreamedBody } from '../../http/body.ts';
import { codingsOf } from '../../http/content-coding.ts';
import type { Ask, Policy } from '../../routing/policy.ts';
import type { WorkerFilters } from '../../workers/pool-view.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { RequestAsk, type AskSource } from '../choose/ask.ts';
import type { ExternalWish } from '../choose/outward.ts';
import type { Halves } from '../choose/stage-policies.ts';
import type { Decision } from '../record/decision.ts';
import type { Endpoint } from '../arrive/endpoints.ts';
import { BodyFields } from './body-fields.ts';
import { decodeRequest } from './decode-request.ts';
import { inspectsBodies, mustUnderstand } from './inspects-bodies.ts';
import { handoffOf, type HandoffTerms } from './handoff.ts';
import { hooksApply } from './hooks-apply.ts';
import { readFields, readFieldsInPieces } from './read-fields.ts';
import { refuseTemplate } from './refuse-template.ts';
import type { Runtime } from '../runtime.ts';
import { readWorkerFilters } from '../choose/worker-filters.ts';

/** A request as it is understood: what it asks for, and the bytes that go to a worker. */
export interface Call {
  /** Undefined where there is none, and once it cannot be needed any more. */
  body: Buffer | StreamedBody | undefined;
  /** A body that was decoded to be read, as it came: what goes to a worker where that is configured. */
  encoded?: Buffer | undefined;
  /** Gives the bytes of a held body back. Idempotent. */
  readonly releaseBody: () => void;
  /** '' when the request names none. */
  readonly model: string;
  readonly stream: boolean;
  readonly ask: Ask & RequestAsk;
  /** The model's policy when the request was read. */
  readonly policy: Policy;
  /** Likewise for its halves, where it may go through a pair. */
  readonly halves?: Halves;
  /** What `prepare` came to, of the policies that have one. */
  readonly prepared?: ReadonlyMap<Policy, unknown>;
  /** Tokens that the answer may add to the KV cache, as far as the request says. */
  readonly maxTokens: number;
  /** How many prompts there are, and answers to each of them. */
  readonly prompts: number;
  readonly samples: number;
  /** The endpoint's retry column, narrowed by what this request does on a worker. */
  readonly retry: 'full' | 'connect';
  /** A stored resource that the request reads, cancels or continues. */
  readonly resourceId: string | undefined;
  /** The id that a resource to be stored is to have, where the client chooses it. */
  readonly chosenId?: string | undefined;
  /** In the place of the client's: a tunnel's, whose query names the model. */
  readonly target?: string;
  /** Which workers the client wants; undefined = any. */
  readonly filters: WorkerFilters | undefined;
  /** Where it may go beside the fleet. */
  readonly external?: ExternalWish | undefined;
  /** How a worker could compute the prompt for another one; `no`: one has to do all of it; undefined: there is nothing to split. */
  readonly handoff?: HandoffTerms | 'no' | undefined;
  /** The worker is asked for the usage of a stream although the client did not ask: the client must not see it. */
  readonly swallowUsage?: boolean;
  /** It is put in OpenAI's words, although the client speaks Anthropic's. */
  readonly isTranslated?: true;
}

/** What a request is understood from, beside its body; an `Arrival` is one. */
export interface CallSource extends AskSource, Pick<Arrival, 'match' | 'endpoint' | 'releases'> {
  /** Stream, model and rule are entered here. */
  readonly decision: Pick<Decision, 'stream' | 'requested_model' | 'model' | 'rule' | 'rule_missed'>;
}

/** Opaque bodies up to this size are held, so that they can be sent again. */
const HOLD_LIMIT_BYTES = 1024 * 1024;
const DEFAULT_MAX_TOKENS = 256;
const MAX_TOKENS = ['max_completion_tokens', 'max_tokens', 'max_output_tokens', 'max_new_tokens'];

export async function readCall(rt: Runtime, arrival: Arrival): Promise<Call> {
  const { req, endpoint } = arrival;
  const { maxPayloadSize, bodyIdleTimeoutMs } = rt.settings.listen;
  refuseTooLong(req, maxPayloadSize);
  const { length } = req;
  if (arrival.tunnel) return tunnelCall(rt, arrival);
  if (length === 0 && endpoint.body !== 'json') return opaqueCall(rt, arrival, undefined);
  const limits = { maxBytes: maxPayloadSize, idleTimeoutMs: bodyIdleTimeoutMs };
  const large = length === undefined || length > HOLD_LIMIT_BYTES;
  if (large && passesThrough(rt, endpoint) && !hooksApply(rt, arrival)) {
    const streamed = new StreamedBody(req, limits, rt.clock);
    arrival.releases.push(() => {
      arrival.decision.request_bytes = streamed.received;
      streamed.destroy();
    });
    return opaqueCall(rt, arrival, streamed);
  }
  // Before the upload: it may be large.
  const isRead = endpoint.body !== 'opaque' || hooksApply(rt, arrival);
  const codings = isRead ? codingsOf(req.rawHeaders) : [];
  const reading = readBody(req, limits, rt.bodyBytes, rt.clock);
  const held = reading instanceof Promise ? await reading : reading;
  arrival.releases.push(held.release);
  arrival.decision.request_bytes = held.bytes.length;
  if (codings.length === 0 || held.bytes.length === 0)
    return understandInPieces(rt, arrival, held.bytes, held.release);
  const { bytes, release, encoded } = await decodeRequest(rt, arrival, held, codings);
  return { ...(await understandInPieces(rt, arrival, bytes, release)), encoded };
}

/** `understand`, but a body that takes long is read in pieces, so that nothing waits for it. */
function understandInPieces(
  rt: Runtime,
  arrival: Arrival,
  bytes: Buffer,
  releaseBody: () => void,
): Call | Promise<Call> {
  if (arrival.endpoint.body !== 'json') return understand(rt, arrival, bytes, releaseBody);
  const read = readFieldsInPieces(bytes);
  if (!(read instanceof Promise)) return { ...jsonCall(rt, arrival, bytes, read), releaseBody };
  return read.then((fields) => ({ ...jsonCall(rt, arrival, bytes, fields), releaseBody }));
}

/** A form's model may stand behind its file: where the model matters, the form is read whole first. */
function passesThrough(rt: Runtime, { body }: Endpoint): boolean {
  if (body !== 'form') return body === 'opaque';
  const { gateway, externalOnly } = rt.settings;
  const modelMatters = gateway || externalOnly || rt.policies.several || inspectsBodies(rt.settings);
  return rt.registry.servesAlike && !modelMatters;
}

/** The answer has begun, so the request will not be sent again: its body and what was read of it are let go. */
export function letGoOfBody(call: Call): void {
  call.ask.letGo();
  if (!Buffer.isBuffer(call.body)) return;
  call.body = undefined;
  call.encoded = undefined;
  call.releaseBody();
}

/**
 * Makes sense of a whole body. Where something goes by what it says, throws `invalid_json` for what should be JSON and is
 * none, and `duplicate_field` for what it says twice; elsewhere such a body is passed on as it is.
 */
export function understand(rt: Runtime, source: CallSource, bytes: Buffer, releaseBody = NOTHING_HELD): Call {
  return { ...READERS[source.endpoint.body](rt, source, bytes), releaseBody };
}

const READERS = { json: jsonCall, form: formCall, opaque: opaqueCall } as const;

const NOTHING_HELD = (): void => undefined;

function opaqueCall(rt: Runtime, source: CallSource, body: Buffer | StreamedBody | undefined): Call {
  const size = Buffer.isBuffer(body) ? body.length : 0;
  const { match, endpoint } = source;
  return {
    body,
    releaseBody: NOTHING_HELD,
    model: '',
    stream: false,
    policy: rt.policies.default,
    ask: new RequestAsk(rt, source, {
      model: '',
      stream: false,
      fields: new BodyFields(),
      prompt: undefined,
      bytes: size,
    }),
    maxTokens: 0,
    prompts: 1,
    samples: 1,
    retry: body instanceof StreamedBody ? 'connect' : endpoint.retry,
    resourceId: match.kind === 'endpoint' && endpoint.resource === 'by_id' ? match.id : undefined,
    filters: readWorkerFilters(source.req.rawHeaders),
    handoff: endpoint.class === 'inference' ? 'no' : undefined,
  };
}

/** A WebSocket says in its address which model it wants. */
function tunnelCall(rt: Runtime, source: CallSource): Call {
  const call = opaqueCall(rt, source, undefined);
  const models = queryValues(source.target, 'model');
  if (models.length > 1 && mustUnderstand(rt)) throw duplicateField('query');
  const model = models.at(-1) ?? '';
  note(source.decision, model, false);
  const policy = rt.policies.policyFor(model);
  return { ...call, model, policy, ask: call.ask.under(model), target: source.target };
}

/** Audio as OpenAI's clients send it. */
function formCall(rt: Runtime, source: CallSource, bytes: Buffer): Call {
  const type = headerOf(source.req.rawHeaders, 'content-type') ?? '';
  const form = readForm(bytes, type);
  if (mustUnderstand(rt)) {
    if (repeatsDecidingFormField(form)) throw duplicateField();
    if (!form.plain || repeatsHeader(source.req.rawHeaders, 'content-type')) throw ambiguousForm();
  }
  const model = fieldText(bytes, form, 'model') ?? '';
  const stream = readBoolean(fieldText(bytes, form, 'stream')) === true;
  note(source.decision, model, stream);
  const ask = new RequestAsk(rt, source, {
    model,
    stream,
    fields: new BodyFields(),
    prompt: undefined,
    bytes: bytes.length,
  });
  return { ...opaqueCall(rt, source, bytes), model, stream, policy: rt.policies.policyFor(model), ask };
}

function jsonCall(rt: Runtime, source: CallSource, bytes: Buffer, read = readFields(bytes)): Call {
  const strict = mustUnderstand(rt);
  if (read.problem !== undefined) {
    if (strict) throw new RouterError('invalid_json', read.problem);
    const unread = opaqueCall(rt, source, bytes);
    // It may be one to be stored.
    return source.endpoint.resource === 'create' ? { ...unread, retry: 'connect' } : unread;
  }
  if (strict && read.repeats()) throw duplicateField();
  const { fields, rawPrompt } = read;
  refuseTemplate(rt, source, fields);
  const model = textOf(fields['model']) ?? '';
  const stream = readBoolean(fields['stream']) === true;
  const { endpoint } = source;
  note(source.decision, model, stream);
  const creates = endpoint.resource === 'create';
  const prompts = promptsOf(fields);
  const samples = samplesOf(fields);
  return {
    body: bytes,
    releaseBody: NOTHING_HELD,
    model,
    stream,
    policy: rt.policies.policyFor(model),
    ask: new RequestAsk(rt, source, {
      model,
      stream,
      fields: new BodyFields(bytes, fields, rawPrompt),
      prompt: endpoint.prompt,
      bytes: bytes.length,
    }),
    maxTokens: maxTokensOf(fields) * prompts * samples,
    prompts,
    samples,
    retry: leavesSomething(fields) ? 'connect' : endpoint.retry,
    resourceId: creates ? textOf(fields['previous_response_id']) : undefined,
    chosenId: creates ? textOf(fields['request_id']) : undefined,
    handoff: handoffOf(endpoint, fields, { samples, stream }),
    filters: readWorkerFilters(source.req.rawHeaders),
  };
}

function textOf(value: unknown): string | undefined {
  const text = plain(value);
  return typeof text === 'string' ? text : undefined;
}

/** A body that is read again, because a check has changed it, does not change what the client asked for. */
function note(decision: CallSource['decision'], model: string, stream: boolean): void {
  decision.stream = stream;
  if (model === '') return;
  decision.requested_model ??= model;
  decision.model = model;
}

function duplicateField(where = 'body'): RouterError {
  return new RouterError('duplicate_field', `the ${where} names model or stream more than once`);
}

function ambiguousForm(): RouterError {
  return new RouterError(
    'ambiguous_form',
    'the body is a form in which not every parser reads the same fields: each part needs one plain name, and an end',
  );
}

/** A stored response, or one that is made in the background, would be made twice. */
function leavesSomething(fields: JsonObject): boolean {
  return readBoolean(fields['background']) === true || readBoolean(fields['store']) === true;
}

/** A list of numbers is one prompt, as token ids. */
function promptsOf({ prompt }: JsonObject): number {
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? Math.max(1, prompt.length) : 1;
}

function samplesOf({ n, sampling_params: sampling }: JsonObject): number {
  return Math.max(1, readInteger(n) ?? (isObject(sampling) ? readInteger(sampling['n']) : undefined) ?? 1);
}

function maxTokensOf(fields: JsonObject): number {
  const { sampling_params: sampling } = fields;
  for (const source of isObject(sampling) ? [fields, sampling] : [fields]) {
    for (const name of MAX_TOKENS) {
      const value = readInteger(source[name]);
      if (value !== undefined && value >= 0) return value;
    }
  }
  return DEFAULT_MAX_TOKENS;
}
