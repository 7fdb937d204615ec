import { isObject } from '../api/prompt-sink.ts';
import { randomHex } from '../base/ids.ts';
import { decodeBody, prefillBody } from '../engines/prefill-decode/bodies.ts';
import type { Handoff, PrefillOrder } from '../engines/prefill-decode/connector.ts';
import { readPrefillAnswer } from '../engines/prefill-decode/prefill-answer.ts';
import { fail, ok, quote, skipped, warn, type Finding } from './finding.ts';
import { readKvMetrics, type KvMetrics } from './kv-metrics.ts';
import { nameOf, SET_UP, type Couple } from './partner.ts';
import { jsonOf, whatCame, type Answer, type Cost, type Patient } from './patient.ts';
import { noteCost, probeOf, TOO_SHORT } from './probe-prompt.ts';

const PATH = '/v1/completions';
/** Full blocks of the prompt: enough that a part of them could be missing. */
const BLOCKS = 4;
const USUAL_BLOCK_SIZE = 16;
/** An engine counts after each of its steps. */
const LATE_MS = 1_500;
const PAUSE_MS = 100;
/** A busy worker may be handed over something else at the same time. */
const TRIES = 3;

/** Both workers, as they are asked. */
export interface Both {
  readonly prefill: Patient;
  readonly decode: Patient;
}

/** Has one worker compute a prompt and the other one answer it, and looks at the latter's metrics whether the blocks came over. */
export async function handOver(
  couple: Couple,
  both: Both,
  patient: Patient,
  signal: AbortSignal,
): Promise<Finding> {
  const { connector, prefill, decode } = couple;
  const reason = connector.unready({ prefill, decode });
  if (reason !== undefined) return unready(connector, reason);
  // What comes to a worker is counted in one: nobody else of us sends it something meanwhile.
  using _turn = await patient.turns.take(decode.spec.id);
  let finding = skipped('not tried');
  for (let attempt = 0; attempt < TRIES && !signal.aborted; attempt += 1) {
    finding = await oneProbe(couple, both, patient, signal);
    if (finding.mark !== 'warn') return finding;
  }
  return finding;
}

export function unready({ name }: Couple['connector'], reason: string): Finding {
  return fail(`${name}: ${quote(reason)}`, `To hand over by ${name}, ${SET_UP[name]}.`);
}

async function oneProbe(couple: Couple, both: Both, patient: Patient, signal: AbortSignal): Promise<Finding> {
  const blockSize = patient.chart.cache?.blockSize ?? USUAL_BLOCK_SIZE;
  const tokens = BLOCKS * blockSize + 1;
  const made = await probeOf(patient, tokens, signal);
  if (!made) return skipped(TOO_SHORT);
  const before = await metricsOf(both.decode, signal);
  if (!before)
    return skipped(`${nameOf(couple.decode.spec)} does not show its metrics: its own checks say why`);
  if (before.externalHits === undefined)
    return skipped(`${nameOf(couple.decode.spec)} does not count what comes from other engines`);
  const fields = { model: patient.chart.model, prompt: made.prompt, max_tokens: 2, temperature: 0 };
  const startedAt = patient.clock.now();
  const wrong = await exchange(couple, both, Buffer.from(JSON.stringify(fields)), signal);
  for (const { cost } of [both.prefill, both.decode].filter((one) => one !== patient))
    add(patient.cost, cost);
  if (wrong) return wrong;
  const tookMs = patient.clock.now() - startedAt;
  const most = made.ids === undefined ? Infinity : tokens;
  return judged(couple, both, { before, least: (BLOCKS - 1) * blockSize, most, tookMs }, signal);
}

/** Both legs. Undefined where the decode worker has answered. */
async function exchange(
  { connector, prefill, decode }: Couple,
  both: Both,
  body: Buffer,
  signal: AbortSignal,
): Promise<Finding | undefined> {
  const handoff = connector.begin({
    ...{ prefill, decode, prompts: 1, isChat: false },
    requestId: `doctor-${randomHex(32)}`,
    randomHex32: () => randomHex(32),
  });
  const first = sendPrefill(both.prefill, handoff, body, signal);
  if (handoff.order === 'concurrent') {
    const [answer, end] = await Promise.all([first, sendDecode(both, handoff, body, undefined, signal)]);
    return refusal(both.prefill, answer) ?? unanswered(connector, both.decode, end);
  }
  const answer = await first;
  const refused = refusal(both.prefill, answer);
  if (refused || answer.kind === 'failed') return refused;
  const told = readPrefillAnswer(answer.body);
  if ('problem' in told)
    return fail(
      `${nameOf(prefill.spec)} answered, but ${quote(told.problem)}`,
      'See its log: no router could go on from that.',
    );
  const order = handoff.decode(told);
  if (order.kind === 'failed')
    return fail(
      `${nameOf(prefill.spec)}: ${quote(order.message)}`,
      `Its decode worker would compute every prompt once more: ${SET_UP[connector.name]}.`,
    );
  return unanswered(connector, both.decode, await sendDecode(both, handoff, body, told, signal));
}

function sendPrefill(
  patient: Patient,
  { prefill, requestId }: { readonly prefill: PrefillOrder; readonly requestId: string | undefined },
  body: Buffer,
  signal: AbortSignal,
): Promise<Answer> {
  const bytes = prefillBody(body, 'max_tokens', prefill) ?? body;
  return patient.postBytes(PATH, bytes, signal, [...prefill.headers, ...idHeader(requestId)]);
}

async function sendDecode(
  { decode }: Both,
  handoff: Handoff,
  body: Buffer,
  told: Parameters<Handoff['decode']>[0],
  outer: AbortSignal,
): Promise<Answer> {
  const order = handoff.decode(told);
  if (order.kind === 'failed') return { kind: 'failed', code: 'handover_failed', message: order.message };
  // It may wait for blocks for ever; the check has to say so before its own time is up.
  const late = new AbortController();
  const timer = decode.clock.after(decode.timeoutMs / 2, () => late.abort());
  const signal = AbortSignal.any([outer, late.signal]);
  const bytes = decodeBody(body, order.members) ?? body;
  const headers = [...order.headers, ...idHeader(handoff.requestId)];
  const answer = await decode.postBytes(PATH, bytes, signal, headers);
  timer.cancel();
  if (!late.signal.aborted) return answer;
  return {
    kind: 'failed',
    code: 'timeout',
    message: `no answer within ${String(decode.timeoutMs / 2000)} s: it waits for the blocks`,
  };
}

function idHeader(requestId: string | undefined): readonly string[] {
  return requestId === undefined ? [] : ['x-request-id', requestId];
}

function refusal(patient: Patient, answer: Answer): Finding | undefined {
  const body = jsonOf(answer);
  if (typeof body !== 'string') noteCost(patient, body);
  if (answer.kind === 'response' && answer.status === 200) return undefined;
  return fail(
    `the prefill worker ${nameOf(patient.spec)} did not compute the probe: ${whatCame(answer)}`,
    'Examine it by itself: its own checks say more.',
  );
}

function unanswered(
  { name, hint }: Couple['connector'],
  patient: Patient,
  answer: Answer,
): Finding | undefined {
  const body = jsonOf(answer);
  if (typeof body !== 'string') noteCost(patient, body);
  if (typeof body !== 'string' && Array.isArray(body['choices']) && !isObject(body['error']))
    return undefined;
  const why = typeof body === 'string' ? body : 'an answer that is no completion';
  return fail(
    `the decode worker ${nameOf(patient.spec)} did not go on from the blocks: ${why}`,
    `${hint === undefined ? '' : `${hint} `}See its log, and whether it reaches the prefill worker's ports: ${SET_UP[name]}.`,
  );
}

/** The other worker's probes are this one's cost. */
function add(to: Cost, from: Cost): void {
  to.requests += from.requests;
  to.prompt_tokens += from.prompt_tokens;
  to.completion_tokens += from.completion_tokens;
  Object.assign(from, { requests: 0, prompt_tokens: 0, completion_tokens: 0 });
}

interface Seen {
  readonly before: KvMetrics;
  /** Tokens of the probe that have to come, and that can. */
  readonly least: number;
  readonly most: number;
  readonly tookMs: number;
}

/** An answer proves nothing: where the blocks do not come, the decode worker may compute the prompt itself. */
async function judged(
  { connector, prefill, decode }: Couple,
  both: Both,
  { before, least, most, tookMs }: Seen,
  signal: AbortSignal,
): Promise<Finding> {
  const { clock } = both.decode;
  const [from, to] = [nameOf(prefill.spec), nameOf(decode.spec)];
  const until = clock.now() + LATE_MS;
  for (;;) {
    const after = await metricsOf(both.decode, signal);
    const came = (after?.externalHits ?? 0) - (before.externalHits ?? 0);
    if (came > most)
      return warn(
        `${String(came)} tokens came to ${to}, more than the probe has: others are handed over to it as well`,
        'Nothing is proven by it: examine the workers while fewer requests go through them.',
      );
    if (came >= least)
      return ok(
        `${String(came)} tokens of the probe went from ${from} to ${to} by ${connector.name} (${tookMs.toFixed(0)} ms)`,
      );
    if (clock.now() >= until || signal.aborted) {
      const failed = (after?.failedTransfers ?? 0) - before.failedTransfers;
      return fail(
        `${to} answered, and computed the prompt itself: nothing came from ${from}${failed > 0 ? `, ${String(failed)} transfers failed` : ''}`,
        `Requests are answered, and nothing is won by it: ${SET_UP[connector.name]}. See that the one reaches the ports of the other, and the log of the decode worker.`,
      );
    }
    await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
  }
}

async function metricsOf(patient: Patient, signal: AbortSignal): Promise<KvMetrics | undefined> {
  const answer = await patient.get('/metrics', signal);
  if (answer.kind === 'failed' || answer.status !== 200) return undefined;
  return readKvMetrics(answer.body.toString('latin1'), patient.spec.rank);
}
