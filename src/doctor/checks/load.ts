import { metricsOf, readEngineMetrics } from '../../engines/engine-metrics.ts';
import { engineOf, readEngines } from '../../engines/engine-report.ts';
import type { Check } from '../check.ts';
import { fail, ok, warn } from '../finding.ts';
import { readKvMetrics } from '../kv-metrics.ts';
import { whatCame } from '../patient.ts';

/** Whether the engine's load can be read; the text is kept for the checks behind. */
export const load: Check = {
  name: 'load',
  about: '/metrics is readable and has the load of the engine.',
  needs: ['reachable'],
  async run(patient, signal) {
    const answer = await patient.get('/metrics', signal);
    if (answer.kind === 'failed' || answer.status !== 200)
      return warn(
        `/metrics does not answer: ${whatCame(answer)}`,
        'The router counts its own requests only then, not those of others, and learns no block size: open the route.',
      );
    const text = answer.body.toString('latin1');
    const engines = readEngineMetrics(text);
    patient.chart.engines = Math.max(1, engines.size);
    const { rank } = patient.spec;
    patient.chart.kv = readKvMetrics(text, rank);
    patient.chart.cache = engineOf(readEngines(text), rank).cache;
    const found = metricsOf(engines, rank);
    if (rank !== undefined && engines.size > 0 && !found)
      return fail(
        `/metrics knows engines ${[...engines.keys()].slice(0, 16).join(', ')}, not rank ${String(rank)}`,
        'Compare --data-parallel-size of the router with that of vLLM.',
      );
    if (found?.running === undefined)
      return warn(
        '/metrics has no vllm:num_requests_running',
        'See whether the URL is that of a vLLM server, and that it runs without --disable-log-stats.',
      );
    const usage =
      found.kvCacheUsage === undefined
        ? ''
        : `, ${(100 * found.kvCacheUsage).toFixed(0)}% of the KV cache used`;
    const several = patient.chart.engines === 1 ? '' : ` on ${String(engines.size)} engines`;
    return ok(`${String(found.running)} running, ${String(found.waiting ?? 0)} waiting${usage}${several}`);
  },
};
