import { REMEDIES } from '../../cache-knowledge/accuracy/verdicts.ts';
import { EVENT_SOURCES_PATH, readEventSources } from '../../engines/http/event-sources.ts';
import { showEndpoint } from '../../zmtp/endpoint.ts';
import type { Check } from '../check.ts';
import { dialledEndpoint, eventPlaces, type EventEndpoint } from '../event-endpoints.ts';
import { EventListener, type Named } from '../event-listener.ts';
import { fail, ok, quote, skipped, warn, type Finding } from '../finding.ts';
import type { Patient } from '../patient.ts';
import { compute, probePrompt, TOO_SHORT } from '../probe-prompt.ts';

/** Events of a prompt are sent while it is computed: what has not come so long after the answer will not come. */
const LATE_MS = 3_000;
/** A publisher takes a moment to learn that somebody listens: what it said before is lost. */
const TRIES = 2;

/** Listens while a prompt of nobody is computed: its blocks must be named. */
export const events: Check = {
  name: 'events',
  about: 'What the cache takes in is published, and names the blocks of a probe.',
  needs: ['models'],
  computes: true,
  async run(patient, signal) {
    const { chart, spec, expected } = patient;
    const told = readEventSources(await patient.get(EVENT_SOURCES_PATH, signal));
    chart.eventSources = told.kind === 'told' ? told.sources : undefined;
    const { endpoints, connects, wanted } = eventPlaces(spec, expected.kvEvents, chart.eventSources);
    const dialled = dialledEndpoint(chart.eventSources ?? []);
    if (connects || (dialled !== undefined && endpoints.length === 0)) return connecting(dialled);
    if (expected.kvEvents.follows === 'none') return skipped('kv_events.enabled is off');
    if (chart.eventSources?.length === 0 && wanted)
      return fail(
        'the router is to follow its events, and it says that it publishes none',
        REMEDIES.events_off,
      );
    if (endpoints.length === 0)
      return skipped('it publishes none that is known, and none is configured', REMEDIES.events_off);
    const { clock, random } = patient;
    const listener = new EventListener(endpoints, { clock, random });
    try {
      return await listen(patient, listener, endpoints, signal);
    } finally {
      listener.close();
    }
  },
};

/** Who listens there is heard from, and nobody else. */
function connecting(endpoint = 'the router'): Finding {
  return warn(
    `it does not listen, but connects to ${quote(endpoint)} with its events`,
    'Only what listens there hears them: the router does with kv_events.bind, and GET /workers says what came. Else publish at tcp://*:5557, where anybody may listen.',
  );
}

async function listen(
  patient: Patient,
  listener: EventListener,
  endpoints: readonly EventEndpoint[],
  signal: AbortSignal,
): Promise<Finding> {
  await listener.connected(signal);
  for (const [endpoint, { cause, message }] of listener.ends)
    return fail(
      `no publisher at ${showEndpoint(endpoint.events)}: ${cause}, ${quote(message)}`,
      `See that the port is that of --kv-events-config and that it may be reached from here. ${REMEDIES.events_off}`,
    );
  for (let attempt = 1; ; attempt += 1) {
    const found = await probe(patient, listener, signal);
    if ('mark' in found) return found;
    if (found.named) return named(patient, found.named, found.afterMs);
    if (attempt === TRIES || signal.aborted) return unnamed(listener, found.knowsTokens, endpoints);
  }
}

interface Probed {
  readonly named: Named | undefined;
  /** From the answer to the event. */
  readonly afterMs: number;
  /** Whether it is known which tokens the worker computed. */
  readonly knowsTokens: boolean;
}

async function probe(
  patient: Patient,
  listener: EventListener,
  signal: AbortSignal,
): Promise<Probed | Finding> {
  const { clock } = patient;
  const made = await probePrompt(patient, signal);
  if (!made) return skipped(TOO_SHORT);
  const { prompt, ids } = made;
  const computed = await compute(patient, prompt, signal);
  if (typeof computed === 'string') return skipped(`the probe was not computed: ${computed}`);
  const answeredAt = clock.now();
  const late = new AbortController();
  const timer = clock.after(LATE_MS, () => late.abort());
  const found = await listener.namesOf(Uint32Array.from(ids ?? []), AbortSignal.any([signal, late.signal]));
  timer.cancel();
  return { named: found, afterMs: clock.now() - answeredAt, knowsTokens: ids !== undefined };
}

function named({ chart, expected }: Patient, found: Named, afterMs: number): Finding {
  chart.heard = found;
  const { blockSize, endpoint, topic } = found;
  const where = showEndpoint(endpoint.events);
  if (!topic.startsWith(endpoint.topic))
    return fail(
      `${where} publishes under the topic ${quote(JSON.stringify(topic))}, and ${JSON.stringify(endpoint.topic)} is subscribed to`,
      "Set kv_events.topic to the beginning of vLLM's, or leave it out.",
    );
  if (expected.blockSize !== undefined && expected.blockSize !== blockSize)
    return fail(
      `${where} names blocks of ${String(blockSize)} tokens, and ${String(expected.blockSize)} are configured`,
      `Set block_size to ${String(blockSize)}, or leave it out.`,
    );
  return ok(
    `${where} named the probe's blocks of ${String(blockSize)} tokens, ${afterMs.toFixed(0)} ms after the answer`,
  );
}

function unnamed(
  { heard }: EventListener,
  knowsTokens: boolean,
  endpoints: readonly EventEndpoint[],
): Finding {
  const where = endpoints.map(({ events: at }) => showEndpoint(at)).join(', ');
  if (heard.messages === 0)
    return fail(
      `connected to ${where}, and nothing came within ${String(LATE_MS / 1000)} s of prompts that are new`,
      'See whether another server publishes there, and that prefix caching is on: vLLM tells what its cache takes in.',
    );
  if (heard.unreadable !== undefined)
    return fail(
      `what ${where} sends cannot be read: ${quote(heard.unreadable)}`,
      'See whether a vLLM publishes there.',
    );
  if (!knowsTokens)
    return skipped('events come, but without /tokenize nobody knows which tokens the probe has');
  return fail(
    `${String(heard.messages)} messages came from ${where}, none of them about the probes`,
    'See whether the port is that of another server, and which model and block size that one has.',
  );
}
