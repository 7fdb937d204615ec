import { RouterError } from '../../base/errors.ts';
import { inPieces } from '../../base/in-pieces.ts';
import { setFormField } from '../../api/form-field.ts';
import type { ExternalTraits } from '../../config/settings/settings.ts';
import type { WorkerRequest } from '../../engines/client.ts';
import { makingProviderBody, type ProviderBody } from '../../engines/external/provider-fields.ts';
import { providerHeaders } from '../../engines/external/provider-headers.ts';
import { providerPath } from '../../engines/external/provider-path.ts';
import { noRoom } from '../../http/body.ts';
import { headerOf } from '../../http/headers.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { providersModel } from '../choose/external.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';

export interface ExternalRequest {
  readonly request: WorkerRequest;
  /** Fields that only vLLM knows, which are not in it. */
  readonly removed: readonly string[];
  /** Gives its bytes back. Idempotent. */
  readonly release: () => void;
}

/**
 * The client's request as a provider gets it: under the provider's name of the model and with its key, without whatever is only for the
 * router and for vLLM. Throws `external_field_refused`, `invalid_request` and `inflight_bytes_exceeded`.
 */
export async function externalRequest(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  worker: Worker,
): Promise<ExternalRequest> {
  const { spec, traits } = worker;
  if (!traits.external) throw new Error(`${worker.id} is no external backend`);
  const external = traits.external;
  const model = call.model === '' ? '' : providersModel(external, call.model);
  const path = providerPath(call.target ?? arrival.target, spec.baseUrl, external, model);
  if (path === undefined)
    throw new RouterError('invalid_request', 'the name of the model cannot stand in a path', {
      param: 'model',
    });
  const body = await providerBody(arrival, call, external, model);
  const held = body && rt.bodyBytes.hold(body.bytes);
  if (body && !held) throw noRoom();
  return {
    request: {
      method: arrival.method,
      path,
      headers: providerHeaders(
        { headers: arrival.req.rawHeaders, requestId: arrival.requestId, apiKey: spec.apiKey },
        external,
      ),
      body: held?.bytes,
      upgrade: undefined,
      once: call.retry === 'connect',
    },
    removed: body?.removed ?? [],
    release: held?.release ?? (() => undefined),
  };
}

/** Undefined where there is none. */
async function providerBody(
  { endpoint, req }: Arrival,
  { body }: Call,
  external: ExternalTraits,
  model: string,
): Promise<ProviderBody | undefined> {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  if (endpoint.body === 'opaque') return { bytes: body, removed: [] };
  if (endpoint.body === 'form') {
    const type = headerOf(req.rawHeaders, 'content-type') ?? '';
    const bytes = model === '' ? body : setFormField(body, type, 'model', model);
    return { bytes: bytes ?? body, removed: [] };
  }
  const terms = {
    route: endpoint.route,
    model: model === '' ? undefined : model,
    keepFields: external.keepFields,
  };
  const made = await inPieces(makingProviderBody(body, terms));
  if (!made) throw new RouterError('invalid_json', 'the body is not a JSON object');
  if (external.unsupportedFields === 'drop' || made.removed.length === 0) return made;
  throw new RouterError(
    'external_field_refused',
    `the external backend ${external.name} does not know ${made.removed.join(', ')}`,
    { param: made.removed[0] ?? '' },
  );
}
