import { setFormField } from '../../api/form-field.ts';
import { setMember } from '../../api/json-edit.ts';
import { setQueryParameter } from '../../api/query-parameter.ts';
import { headerOf } from '../../http/headers.ts';
import type { Call, CallSource } from './read-call.ts';
import { replaceBody } from './replace-body.ts';
import type { Runtime } from '../runtime.ts';

/**
 * The same request for this model: its body, or a tunnel's query, names it, and nothing else of it changes. Undefined where the body has no
 * place for a name. Throws `inflight_bytes_exceeded`.
 */
export function nameModel(rt: Runtime, source: CallSource, call: Call, model: string): Call | undefined {
  if (call.target !== undefined && call.model !== '')
    return { ...underModel(rt, source, call, model), target: setQueryParameter(call.target, 'model', model) };
  if (!Buffer.isBuffer(call.body)) return undefined;
  const bytes = naming(source, call.body, model);
  return bytes && { ...underModel(rt, source, call, model), ...replaceBody(rt, source, call, bytes) };
}

/** The request as one for this model, its body as it is. */
export function underModel(rt: Runtime, source: CallSource, call: Call, model: string): Call {
  source.decision.model = model;
  return { ...call, model, policy: rt.policies.policyFor(model), ask: call.ask.under(model) };
}

function naming({ endpoint, req }: CallSource, body: Buffer, model: string): Buffer | undefined {
  if (endpoint.body === 'json') return setMember(body, 'model', model);
  if (endpoint.body === 'opaque') return undefined;
  return setFormField(body, headerOf(req.rawHeaders, 'content-type') ?? '', 'model', model);
}
