import * as z from 'zod';
import { bearerKey, count, key, milliseconds, secs, type KeyMeta } from './field.ts';
import { parseControllerUrl, CONTROLLER_URL_FORMS } from './controller-url.ts';
import { parseWorkerUrl, WORKER_URL_FORMS } from './worker-url.ts';

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'LMCache', about, ...more });
}

/** The message quotes nothing: a URL may hold a password. */
export const controllerUrl = () =>
  z.string().refine((value) => parseControllerUrl(value) !== undefined, `expected ${CONTROLLER_URL_FORMS}`);

const workerUrl = z.string().superRefine((value, context) => {
  const parsed = parseWorkerUrl(value);
  if (parsed.kind === 'bad')
    context.addIssue({ code: 'custom', message: `expected the URL of a worker (${WORKER_URL_FORMS})` });
});

export const workerMap = () => z.record(z.string().min(1).max(1024), workerUrl);

/** LMCache's controller: one for all policies. */
export const lmcacheKeys = {
  lmcache: z
    .strictObject({
      controller_url: field(
        controllerUrl().optional(),
        "LMCache's controller, or the coordinator of lmcache server: all policies that look at caches learn from it what is stored.",
        {
          flags: ['--lmcache-controller-url'],
          credentials: true,
          value: 'URL',
          defaultText: 'none; with lmcache_aware http://localhost:9000',
        },
      ),
      controller_api: field(
        z.enum(['auto', 'controller', 'coordinator']).default('auto'),
        'Which of the two it is; auto finds out.',
        { flags: ['--lmcache-controller-api'] },
      ),
      controller_api_key: field(
        bearerKey().optional(),
        'Bearer key for a proxy in front of it; it has none itself.',
        {
          flags: [],
          secret: true,
          defaultText: 'none',
        },
      ),
      poll_interval_secs: field(
        secs().default(10),
        'How often it is asked which instances there are and how much each stores.',
        { flags: ['--lmcache-poll-interval', '--lmcache-poll-interval-secs'] },
      ),
      controller_timeout_ms: field(milliseconds().default(2000), 'Longest wait for any answer of it.', {
        flags: ['--lmcache-controller-timeout-ms'],
      }),
      lookup_timeout_ms: field(
        milliseconds().default(200),
        'Longest wait of a request for where its prompt is stored; the shorter of the two counts.',
        { flags: ['--lmcache-lookup-timeout-ms'] },
      ),
      worker_map: field(
        workerMap().default({}),
        'URLs of workers by lmcache_instance_id. Others are found by the labels lmcache_instance_id and pod_name of workers, else by their host.',
        { flags: [], env: false },
      ),
      chunk_size: field(count(1).max(65_536).default(256), 'Tokens of a chunk, as LMCache is configured.', {
        flags: ['--lmcache-chunk-size'],
      }),
      world_size: field(
        count(1).max(4096).default(1),
        'Ranks of each engine (tensor and pipeline parallel), which a coordinator has to be told.',
        { flags: ['--lmcache-world-size'] },
      ),
      circuit_breaker: z
        .strictObject({
          failure_threshold: field(
            count(1).default(5),
            'Errors and timeouts of look-ups in a row, within a minute, after which it is left alone.',
            { flags: ['--lmcache-cb-failure-threshold'] },
          ),
          timeout_duration_secs: field(
            secs().default(5),
            'For how long. Then one look-up tries whether it is back.',
            { flags: ['--lmcache-cb-timeout-duration-secs'] },
          ),
        })
        .prefault({}),
    })
    .prefault({}),
};
