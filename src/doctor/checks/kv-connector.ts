import { isLoopbackName } from '../../base/loopback-name.ts';
import { KEEP_BLOCKS } from '../../engines/prefill-decode/nixl.ts';
import type { Check } from '../check.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { hostOf } from '../../engines/prefill-decode/peer-address.ts';
import { fail, ok, quote, skipped, warn, type Finding } from '../finding.ts';
import { unready } from '../hand-over.ts';
import { coupleOf, nameOf, SET_UP, type Couple } from '../partner.ts';
import { jsonOf, type Patient } from '../patient.ts';
import { noteCost, probePrompt, TOO_SHORT } from '../probe-prompt.ts';

/** Whether a worker of a pair runs with the connector by which it is to hand over, and says what the other one can use. */
export const kvConnector: Check = {
  name: 'kv_connector',
  about: 'A prefill or decode worker runs with the connector by which it is to hand over.',
  needs: ['models'],
  async run(patient, signal) {
    const couple = await coupleOf(patient);
    if (typeof couple === 'string') return skipped(couple);
    const { connector, prefill, decode } = couple;
    const reason = connector.unready({ prefill, decode });
    if (reason !== undefined) return unready(connector, reason);
    if (connector.name === 'nixl')
      return patient.spec.traits.role === 'prefill'
        ? keepsBlocks(patient, couple, signal)
        : countsTransfers(patient);
    const engines = Object.values(prefill.traits.kvTransfer?.engineIds ?? {});
    if (engines.length > 0) return ok(`${connector.name}: engine ${quote(engines.join(', '))}`);
    return ok(`${connector.name}: all that the router must be told is known`);
  },
};

async function keepsBlocks(patient: Patient, couple: Couple, signal: AbortSignal): Promise<Finding> {
  const made = await probePrompt(patient, signal);
  if (!made) return skipped(TOO_SHORT);
  const { model } = patient.chart;
  const fields = {
    model,
    prompt: made.prompt,
    max_tokens: 1,
    stream: false,
    kv_transfer_params: KEEP_BLOCKS,
  };
  const body = jsonOf(await patient.post('/v1/completions', fields, signal));
  if (typeof body === 'string')
    return fail(`a prompt was not computed: ${body}`, 'See its other checks, and its log.');
  noteCost(patient, body);
  const told = body['kv_transfer_params'];
  if (!isObject(told))
    return fail(
      'it computes prompts, and keeps no blocks of them: its answer has no kv_transfer_params',
      `Its decode workers would compute every prompt once more: ${SET_UP.nixl}.`,
    );
  return mode(told) ?? sideChannel(patient, couple, told);
}

function mode(told: JsonObject): Finding | undefined {
  if (told['transfer_mode'] !== 'push') return undefined;
  return fail(
    'it writes blocks to where they are wanted (push), and the decode worker would be told to fetch them',
    'Set pd.kv_connector to nixl-push, or start the workers with NixlConnector.',
  );
}

function sideChannel({ fleet }: Patient, { prefill }: Couple, told: JsonObject): Finding {
  const { remote_host: host, remote_port: port } = told;
  if (typeof host !== 'string' || typeof port !== 'number')
    return warn(
      'it keeps blocks, and does not say where',
      'See whether its vLLM is older than the router knows.',
    );
  const own = hostOf(prefill.spec);
  const elsewhere = fleet.find(
    ({ traits, baseUrl }) =>
      traits.role === 'decode' && new URL(baseUrl).hostname !== new URL(prefill.spec.baseUrl).hostname,
  );
  if (isLoopbackName(host) && !isLoopbackName(own) && elsewhere)
    return fail(
      `it tells others to fetch blocks from ${quote(host)}:${String(port)}, where ${nameOf(elsewhere)} finds itself`,
      `Set VLLM_NIXL_SIDE_CHANNEL_HOST of the worker to an address by which the others reach it, such as ${quote(own)}.`,
    );
  return ok(`nixl: it keeps blocks, and tells of them at ${quote(host)}:${String(port)}`);
}

function countsTransfers({ chart }: Patient): Finding {
  if (chart.kv?.hasNixl === true) return ok('nixl: its metrics count transfers');
  return warn(
    'its metrics do not count what NIXL does',
    `Older versions of vLLM do not, either; the check behind tells whether blocks come. Else ${SET_UP.nixl}.`,
  );
}
