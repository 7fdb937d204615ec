import { arrayField, booleanField, objectField, stringField } from '../../server/fields.ts';
import { badRequest } from '../../server/api-error.ts';
import type { SimConnector } from '../handing.ts';

/** LMCache's: the prefill worker sends chunks to the one that the request names, which finds them by what is in them. */
export const lmcache: SimConnector = {
  read: ({ params }) => {
    const spec = params && objectField(params, 'disagg_spec');
    if (!spec) return undefined;
    const requestId = stringField(spec, 'req_id');
    const host = stringField(spec, 'receiver_host');
    const ports = arrayField(spec, 'receiver_init_port') ?? [];
    const [port] = ports;
    if (requestId === undefined || host === undefined || typeof port !== 'number')
      throw badRequest('disagg_spec: expected req_id, receiver_host and receiver_init_port', 'disagg_spec');
    return { kind: 'send', host, port, requestId, ranks: ports.length };
  },
  answer: ({ firstToken }, _self, params) =>
    params && booleanField(params, 'ret_first_tok') ? { first_tok: firstToken ?? null } : null,
};
