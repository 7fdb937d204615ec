import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import type { WorkerDefaults, WorkerSpec } from '../config/settings.ts';
import { workerSpecs } from '../config/settings-from-config.ts';
import { parseWorkerUrl, workerId, type WorkerAddress } from '../config/worker-url.ts';

/** One worker, or all ranks of one server, as somebody asked for it through the API. */
export interface Registration {
  readonly address: WorkerAddress;
  /** A model that the worker must serve. */
  readonly modelId: string | undefined;
  readonly priority: number;
  readonly cost: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Instead of the key that the configuration has for its URL. */
  readonly apiKey: string | undefined;
}

const DEFAULT_PRIORITY = 50;
const DEFAULT_COST = 1;
const MOST_LABELS = 64;
const LONGEST_TEXT = 1024;

/** A field of the reference API that would have no effect here: it is refused rather than accepted for nothing. */
function refused(why: string) {
  return z.never({ error: `is not accepted: ${why}` }).optional();
}

const PD_ONLY = 'it concerns prefill workers, which are not offered';
const GRPC_ONLY = 'it concerns gRPC workers, which are not offered';

const workerUrl = z.string().transform((value, context): WorkerAddress => {
  const parsed = parseWorkerUrl(value);
  if (parsed.kind === 'ok') return parsed.address;
  context.addIssue({ code: 'custom', message: `expected ${parsed.expected}` });
  return z.NEVER;
});

const text = () => z.string().min(1).max(LONGEST_TEXT);

/** The body of `POST /workers`, and one entry of the state file. */
export const workerConfigRequest = z.strictObject({
  url: workerUrl.meta({
    description: 'http(s)://host:port[/prefix] or unix:///path.sock, with @rank for one rank',
  }),
  model_id: text()
    .nullish()
    .meta({ description: 'A model that the worker must list; registration fails otherwise' }),
  worker_type: z
    .literal('regular', { error: 'expected regular: prefill and decode workers are not offered' })
    .nullish(),
  priority: z.int().min(0).max(0xffff_ffff).nullish().meta({ default: DEFAULT_PRIORITY }),
  cost: z.number().min(0).nullish().meta({ default: DEFAULT_COST }),
  labels: z
    .record(text(), z.string().max(LONGEST_TEXT))
    .refine((labels) => Object.keys(labels).length <= MOST_LABELS, `expected at most ${MOST_LABELS} labels`)
    .nullish(),
  api_key: z
    .string()
    .regex(/^[!-~]+$/, 'expected a key of visible ASCII characters')
    .nullish()
    .meta({ description: 'Bearer key for this worker; never shown', writeOnly: true }),
  bootstrap_port: refused(PD_ONLY),
  tokenizer_path: refused(GRPC_ONLY),
  reasoning_parser: refused(GRPC_ONLY),
  tool_parser: refused(GRPC_ONLY),
  chat_template: refused(GRPC_ONLY),
});

export type WorkerConfigRequest = z.output<typeof workerConfigRequest>;

export function registrationOf(request: WorkerConfigRequest): Registration {
  return {
    address: request.url,
    modelId: request.model_id ?? undefined,
    priority: request.priority ?? DEFAULT_PRIORITY,
    cost: request.cost ?? DEFAULT_COST,
    labels: request.labels ?? {},
    apiKey: request.api_key ?? undefined,
  };
}

/** The way back, for the state file. */
export function requestOf(registration: Registration): Readonly<Record<string, unknown>> {
  const { address, modelId, priority, cost, labels, apiKey } = registration;
  return {
    url: workerId(address),
    ...(modelId === undefined ? {} : { model_id: modelId }),
    priority,
    cost,
    labels,
    ...(apiKey === undefined ? {} : { api_key: apiKey }),
  };
}

/** What a worker of the configuration file would have been registered with. */
export function plainRegistration(address: WorkerAddress): Registration {
  return {
    address,
    modelId: undefined,
    priority: DEFAULT_PRIORITY,
    cost: DEFAULT_COST,
    labels: {},
    apiKey: undefined,
  };
}

/** Whether both ask for the same, the key in effect included. */
export function isSame(left: Registration, right: Registration, defaults: WorkerDefaults): boolean {
  const inEffect = (registration: Registration): unknown => ({
    ...registration,
    address: undefined,
    apiKey: keyOf(registration, defaults),
  });
  return isDeepStrictEqual(inEffect(left), inEffect(right));
}

/** One per rank, where the configuration makes ranks of every URL. */
export function specsOf(registration: Registration, defaults: WorkerDefaults): readonly WorkerSpec[] {
  const apiKey = keyOf(registration, defaults);
  return workerSpecs(registration.address, defaults).map((spec) => ({ ...spec, apiKey }));
}

function keyOf(
  { apiKey, address }: Registration,
  { apiKeys, apiKey: general }: WorkerDefaults,
): string | undefined {
  return apiKey ?? apiKeys.get(address.baseUrl) ?? general;
}
