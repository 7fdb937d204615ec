import { integerField, stringField } from '../../server/fields.ts';
import type { SimConnector } from '../handing.ts';

/** SGLang's bootstrap: both workers get the same body, and meet in the room that it names; neither answers without the other. */
export const sglang: SimConnector = {
  read: ({ body }, { settings }) => {
    const room = body['bootstrap_room'];
    if (room === undefined || room === null) return undefined;
    const key = `room:${JSON.stringify(room)}`;
    if (settings.role === 'prefill') return { kind: 'keep', key, attended: true };
    const [host, port] = [first(body['bootstrap_host']), first(body['bootstrap_port'])];
    const at = { host: stringField({ host }, 'host'), port: integerField({ port }, 'port', 1) };
    if (at.host === undefined || at.port === undefined) return { kind: 'unfetchable' };
    const source = { host: at.host, port: at.port, engineId: undefined, key, waits: true };
    return { kind: 'fetch', source };
  },
  answer: () => null,
};

/** A batch has a list, of which all name the one worker. */
function first(value: unknown): unknown {
  return Array.isArray(value) ? value.at(0) : value;
}
