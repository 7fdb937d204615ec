import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { BREAKER_STATE_CODES } from '../workers/breaker.ts';
import type { CentroidEvents } from './centroid-builder.ts';
import type { EmbedderEvents } from './embedder.ts';

export interface SemanticEvents {
  readonly embedder: EmbedderEvents;
  readonly centroids: CentroidEvents;
}

/** Those that nobody was asked for. */
const NOT_ASKED: ReadonlySet<string> = new Set(['circuit_open', 'busy']);
/** The next request may fare better. */
const ABOUT_TEXT: ReadonlySet<string> = new Set(['refused', 'too_large', 'aborted', ...NOT_ASKED]);

/** Shows in metrics and log how vectors are made and what becomes of clusters. Every state is told once, not every time. */
export function showSemanticEvents(metrics: Metrics, log: Log): SemanticEvents {
  let isFailing = false;
  return {
    embedder: {
      asked(outcome, durationMs, message) {
        metrics.embeddingsTotal.with(outcome).inc();
        if (!NOT_ASKED.has(outcome)) metrics.embeddingDurationSeconds.with().observe(durationMs / 1000);
        const fails = outcome !== 'embedded';
        if (ABOUT_TEXT.has(outcome) || fails === isFailing) return;
        isFailing = fails;
        if (fails) log.warn({ reason: message }, 'the embedder fails: requests go on without vectors');
        else log.info({}, 'the embedder answers again');
      },
      breaker(from, to) {
        metrics.embedderCbState.with().set(BREAKER_STATE_CODES[to]);
        metrics.embedderCbStateTransitionsTotal.with(from, to).inc();
        log.warn({ from, to }, 'circuit breaker of the embedder changed');
      },
      otherModel(before, dimensions) {
        log.warn(
          { before, dimensions },
          'the embedder has another model now: what it made before is forgotten',
        );
      },
    },
    centroids: {
      progress({ cluster, examples, embedded, problem }, of) {
        metrics.clusterExamples.with(cluster, 'embedded').set(embedded);
        metrics.clusterExamples.with(cluster, 'missing').set(examples - embedded);
        const fields = { cluster, examples, embedded, clusters: `${of.done} of ${of.all}` };
        if (embedded === examples) log.info(fields, 'examples of a semantic cluster are known');
        else log.warn({ ...fields, reason: problem }, 'examples of a semantic cluster are skipped');
      },
      retry(missing, inMs) {
        log.info({ missing, in_ms: inMs }, 'examples of semantic clusters are asked for again later');
      },
      changed(centroids) {
        log.info({ clusters: centroids.map(({ name }) => name) }, 'semantic clusters in force');
      },
    },
  };
}
