import * as z from 'zod';
import { key, secsOrZero } from './field.ts';
import { livePolicy } from './live-policy-schema.ts';
import { workerAdmission, workerEntry } from './worker-entry.ts';

const modelPattern = z
  .string()
  .max(1024)
  .regex(/^[^*]+\*?$|^\*$/, 'expected a model, or the beginning of its name with * behind it');

/** Many models behind one address: who serves them, and how they are told apart. */
export const gatewayKeys = {
  workers: key(z.array(workerEntry).default([]), {
    group: 'Workers',
    flags: [],
    env: false,
    about:
      'Workers with a model, priority, cost, labels or a key of their own, beside worker_urls: entries as in the body of POST /workers.',
  }),
  admission: key(workerAdmission.default('probe'), {
    group: 'Workers',
    about:
      'What a worker has to pass that is registered through the API: probe (it is healthy and lists its model) or doctor (no check of vllm-router doctor fails, too).',
  }),
  enable_igw: key(z.boolean().default(false), {
    group: 'Gateway',
    about:
      'Gateway of many models: starts without workers and waits for them, refuses unknown models, and wants a model in every request where there are several.',
  }),
  unknown_model: key(z.enum(['pass', 'reject']).optional(), {
    group: 'Gateway',
    about: 'A model that no worker lists: try any worker, or answer 404.',
    defaultText: 'pass; with enable_igw reject',
  }),
  model_policies: key(z.record(modelPattern, livePolicy).default({}), {
    group: 'Gateway',
    flags: [],
    env: false,
    about:
      'Policies of single models: a model, or the beginning of its name with * behind it, and a policy as under policy.',
  }),
  engine_wait_timeout_secs: key(secsOrZero().default(0), {
    group: 'Gateway',
    about:
      'How long a request waits for a worker where none can take it, up to queue_size requests at once; 0 = 503 at once.',
  }),
};
