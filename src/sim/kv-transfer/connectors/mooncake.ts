import { booleanField, stringField } from '../../server/fields.ts';
import type { SimConnector } from '../handing.ts';

/** vLLM's MooncakeConnector: both workers are told of a transfer at once, and who comes first waits for the other. */
export const mooncake: SimConnector = {
  read: ({ params }) => {
    if (!params) return undefined;
    const key = stringField(params, 'transfer_id');
    if (booleanField(params, 'do_remote_decode'))
      return key === undefined ? undefined : { kind: 'keep', key };
    if (!booleanField(params, 'do_remote_prefill')) return undefined;
    const engineId = stringField(params, 'remote_engine_id');
    const bootstrap = addressOf(stringField(params, 'remote_bootstrap_addr'));
    if (key === undefined || engineId === undefined || !bootstrap) return { kind: 'unfetchable' };
    return { kind: 'fetch', source: { ...bootstrap, engineId, key, waits: true } };
  },
  answer: () => null,
};

function addressOf(url: string | undefined): { readonly host: string; readonly port: number } | undefined {
  const parsed = url === undefined ? null : URL.parse(url);
  if (parsed?.protocol !== 'http:') return undefined;
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port: Number(parsed.port || 80) };
}
