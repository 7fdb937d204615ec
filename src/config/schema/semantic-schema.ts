import * as z from 'zod';
import { EMBEDDINGS_URL_FORMS, parseEmbeddingsUrl } from './embeddings-url.ts';
import { bearerKey, count, key, milliseconds, secs, text, type KeyMeta } from './field.ts';
import { redisSection } from './redis-schema.ts';
import { parseWorkerUrl, WORKER_URL_FORMS } from './worker-url.ts';

/** They stand in headers, records and labels of metrics. */
const MOST_CLUSTERS = 64;
const MOST_EXAMPLES = 1024;
/** Longer ones would be cut, as prompts are. */
const MOST_EXAMPLE_CHARS = 8192;

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'Semantic', about, ...more });
}

/** The message quotes nothing: a URL may hold a password. */
const embeddingsUrl = () =>
  z.string().refine((value) => parseEmbeddingsUrl(value) !== undefined, `expected ${EMBEDDINGS_URL_FORMS}`);

const clusterName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9_.-]+$/, 'expected a name of letters, digits, _, . and -');

const workerUrl = z
  .string()
  .refine(
    (value) => parseWorkerUrl(value).kind === 'ok',
    `expected the URL of a worker, or the beginning of it (${WORKER_URL_FORMS})`,
  );

/** One entry of `semantic_cluster.clusters`. */
const clusterEntry = z.strictObject({
  name: field(clusterName, 'Stands in headers, records and metrics, and goes to the worker.'),
  examples: field(
    z
      .array(z.string().min(1).max(MOST_EXAMPLE_CHARS))
      .min(1)
      .max(MOST_EXAMPLES, `expected at most ${MOST_EXAMPLES} examples`),
    'Texts as clients send them, whose mean is the middle of the cluster.',
  ),
  workers: field(
    z.array(workerUrl).default([]),
    'Its workers: URLs, or the beginning of them; http://gpu1 stands for every port.',
  ),
  labels: field(
    z.record(text(), z.string()).default({}),
    'Workers that have all of these labels are its workers, too.',
  ),
});

export type ClusterEntry = z.output<typeof clusterEntry>;

const clusters = z
  .array(clusterEntry)
  .max(MOST_CLUSTERS, `expected at most ${MOST_CLUSTERS} clusters`)
  .superRefine((entries, context) => {
    const seen = new Set<string>();
    for (const [index, { name, workers, labels }] of entries.entries()) {
      if (seen.has(name))
        context.addIssue({ code: 'custom', path: [index, 'name'], message: 'expected every name once' });
      seen.add(name);
      if (workers.length === 0 && Object.keys(labels).length === 0)
        context.addIssue({ code: 'custom', path: [index], message: 'expected workers or labels' });
    }
  })
  .default([]);

export const semanticKeys = {
  semantic_cache: z
    .strictObject({
      embeddings_url: field(
        embeddingsUrl().optional(),
        'Answers of chats and completions are given once more to those who ask the same in other words. Who turns texts into vectors: POST /v1/embeddings as OpenAI has it. Without it a worker of the router that serves embeddings_model.',
        { credentials: true, value: 'URL', defaultText: 'none' },
      ),
      embeddings_api_key: field(bearerKey().optional(), 'Bearer key for it.', {
        flags: [],
        secret: true,
        defaultText: 'none',
      }),
      embeddings_model: field(text().optional(), 'The model that it is asked for.', {
        value: 'MODEL',
        defaultText: 'default, where there is a URL',
      }),
      threshold: field(
        z.number().min(0).max(1).default(0.95),
        'Least cosine of two questions that have one answer.',
      ),
      max_entries: field(count(1).max(1_048_576).default(256), 'Most answers that are kept.'),
      max_bytes: field(count(65_536).default(67_108_864), 'Most bytes that answers and vectors take.'),
      max_entry_bytes: field(
        count(1024).max(67_108_864).default(1_048_576),
        'Longer answers are not kept here.',
      ),
      ttl_secs: field(secs().default(300), 'An answer is kept for this long.'),
      embedding_timeout_ms: field(
        milliseconds().default(500),
        'Longest wait of a request for its vector; then it goes on without.',
      ),
      compare: field(
        z.enum(['last_message', 'all_messages']).default('last_message'),
        'What need only mean the same: the last message of the user, or all messages. All else has to be equal: model, route, tenant, parameters, tools, and with last_message the messages before.',
      ),
      redis: redisSection(
        'Semantic',
        'Redis or Valkey, over which replicas of this router share their answers; without it each has its own.',
      ),
      max_chars: field(
        count(1).max(8192).default(2048),
        'Longer texts are not compared: an embedding model that cuts them would take two for one.',
      ),
    })
    .prefault({}),
  semantic_cluster: z
    .strictObject({
      embeddings_url: field(
        embeddingsUrl().optional(),
        'Who turns texts into vectors: POST /v1/embeddings as OpenAI has it. Without it a worker of the router that serves embeddings_model.',
        { flags: [], env: false, credentials: true, value: 'URL', defaultText: 'none' },
      ),
      embeddings_api_key: field(bearerKey().optional(), 'Bearer key for it.', {
        flags: [],
        env: false,
        secret: true,
        defaultText: 'none',
      }),
      embeddings_model: field(text().optional(), 'The model that it is asked for.', {
        flags: [],
        env: false,
        defaultText: 'default, where there is a URL',
      }),
      threshold: field(
        z.number().min(-1).max(1).default(0.75),
        'Least cosine of a prompt and the middle of the cluster that it belongs to.',
        { flags: [], env: false },
      ),
      embedding_timeout_ms: field(
        milliseconds().default(500),
        'Longest wait of a request for its vector, and for that of an example.',
        { flags: [], env: false },
      ),
      within: field(
        z.enum(['policy', 'round_robin']).default('policy'),
        'Who chooses among the workers of a cluster: the policy, or each in its turn.',
        { flags: [], env: false },
      ),
      clusters: field(
        clusters,
        'Kinds of prompts and the workers that serve them: name, examples, workers and labels, see the guide page.',
        { flags: [], env: false },
      ),
    })
    .prefault({}),
};
