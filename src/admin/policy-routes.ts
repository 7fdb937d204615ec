import * as z from 'zod';
import { pluginPolicyProblems, policyInForce } from '../config/schema/plugin-policy-schema.ts';
import { isPairCost } from '../config/schema/stage-policy-schema.ts';
import { policyName, type PdStage, type StagePolicy } from '../config/settings/settings.ts';
import { AdminError } from './admin-error.ts';
import type { AdminContext } from './context.ts';
import {
  compilePolicy,
  policyBody,
  policySwitch,
  type PolicyBody,
  type PolicySwitch,
  type StagePolicyBody,
} from './policy-body.ts';
import { route, type AdminRoute } from './route.ts';
import { invalid } from './validate.ts';

/** Models whose policies may be switched at once. */
const MOST_SWITCHED = 1000;

const shownPolicy = z.record(z.string(), z.unknown());

const switchPolicy = route({
  method: 'PUT',
  path: '/admin/policy',
  action: 'policy.switch',
  about:
    'Switch the policy: the default one, with `model` that of one model, or with `stage` that of one half of requests that are split (null = back to what it would have without). New requests get the new one, those under way keep theirs. The predicted index lives on where both look at it; pinned sessions and turns begin anew. Not kept over a restart.',
  body: policySwitch,
  answers: {
    200: {
      about: 'The policy in use from now on.',
      schema: z.strictObject({
        status: z.literal('ok'),
        changed: z
          .boolean()
          .meta({ description: 'False where it was the policy already: then nothing is touched' }),
        model: z.string().optional(),
        stage: z.enum(['prefill', 'decode']).optional(),
        policy: shownPolicy,
        previous: shownPolicy,
      }),
    },
    400: { about: 'Unknown policy, wrong parameter, or one that is fixed at the start.' },
    404: { about: 'No worker lists the model.' },
  },
  handle(context, { body, note }) {
    const { model, stage } = body;
    const { changed, policy: now, previous } = switched(context, body);
    const about = {
      ...(model === undefined ? {} : { model }),
      ...(stage === undefined ? {} : { stage }),
    };
    note({ ...about, policy: now.type, previous: previous.type, changed });
    return { status: 200, json: { status: 'ok', changed, ...about, policy: now, previous } };
  },
});

interface Switched {
  readonly changed: boolean;
  readonly policy: { readonly type: string };
  readonly previous: { readonly type: string };
}

function switched(context: AdminContext, { model, stage, policy, path }: PolicySwitch): Switched {
  if (stage !== undefined) return switchStage(context, stage, { policy, path });
  if (policy && isPairCost(policy)) throw invalid([{ path: 'policy', message: 'expected stage beside it' }]);
  return model === undefined
    ? switchDefault(context, { policy, path })
    : switchModel(context, model, { policy, path });
}

/** What becomes the policy. */
interface Wanted<Body = PolicyBody> {
  readonly policy: Body | null;
  readonly path: readonly string[];
}

function switchDefault(context: AdminContext, { policy, path }: Wanted): Switched {
  if (policy === null)
    throw invalid([{ path: 'policy', message: 'expected a policy, or a model or stage beside it' }]);
  const { settings, shown } = compiled(context, policy, path);
  const previous = context.policyShown;
  const changed = context.policies.switchTo(settings);
  if (changed) context.policyShown = shown;
  context.switches.add({ policy });
  return { changed, policy: context.policyShown, previous };
}

function switchStage(
  context: AdminContext,
  stage: PdStage,
  { policy, path }: Wanted<StagePolicyBody>,
): Switched {
  const { policies, stagePoliciesShown } = context;
  const previous = stageShown(context, stage);
  const compiledPolicy = policy && compiledStage(context, policy, path);
  const changed = policies.switchStage(stage, compiledPolicy?.settings);
  if (compiledPolicy) stagePoliciesShown.set(stage, compiledPolicy.shown);
  else stagePoliciesShown.delete(stage);
  context.switches.add({ stage, policy });
  return { changed, policy: stageShown(context, stage), previous };
}

/** What decides for one half of requests, in the words of the configuration. */
export function stageShown(context: AdminContext, stage: PdStage): StagePolicyBody {
  const own = context.stagePoliciesShown.get(stage) ?? context.config[`${stage}_policy`];
  if (own) return own;
  const { type } = context.policies.stageSettings(stage);
  return type === 'pair_cost' ? { type } : context.policyShown;
}

function switchModel(context: AdminContext, model: string, { policy, path }: Wanted): Switched {
  const { policies, modelPoliciesShown } = context;
  const { switched } = policies;
  const previous = { type: policies.policyFor(model).name };
  if (policy === null) {
    const changed = policies.switchBack(model);
    modelPoliciesShown.delete(model);
    context.switches.add({ model, policy });
    return { changed, policy: { type: policies.policyFor(model).name }, previous };
  }
  if (!context.registry.knows(model))
    throw new AdminError('NOT_FOUND', `No worker lists the model ${JSON.stringify(model)}`);
  if (switched.size >= MOST_SWITCHED && !switched.has(model))
    throw invalid([{ path: 'model', message: `at most ${MOST_SWITCHED} models can be switched` }]);
  const { settings, shown } = compiled(context, policy, path);
  const changed = policies.switchTo(settings, model);
  modelPoliciesShown.set(model, shown);
  context.switches.add({ model, policy });
  return { changed, policy: shown, previous };
}

function compiledStage(
  context: AdminContext,
  policy: StagePolicyBody,
  under: readonly string[],
): { readonly settings: StagePolicy; readonly shown: StagePolicyBody } {
  return isPairCost(policy) ? { settings: policy, shown: policy } : compiled(context, policy, under);
}

/** @throws AdminError INVALID_REQUEST where no plugin has such a policy, or the plugin refuses its parameters. */
function compiled(
  context: AdminContext,
  policy: PolicyBody,
  under: readonly string[] = [],
): ReturnType<typeof compilePolicy> {
  const { plugins } = context;
  const problems = pluginPolicyProblems(policy, plugins).map(({ path, message }) => ({
    path: [...under, ...path].join('.'),
    message,
  }));
  if (problems.length > 0) throw invalid(problems);
  return compilePolicy(policy, {
    plugins,
    policy: policyInForce(context.config),
    defaults: context.settings,
  });
}

const explain = route({
  method: 'POST',
  path: '/admin/explain',
  action: 'explain',
  about:
    'A dry run: which worker a request would get now, by the policy in use or another one, and the whole table of candidates. Nothing is sent, counted or remembered.',
  body: z.strictObject({
    path: z.string().regex(/^\//, 'expected a path that begins with /'),
    method: z
      .string()
      .regex(/^[A-Z]+$/, 'expected a method in capitals')
      .default('POST'),
    headers: z.record(z.string(), z.union([z.string(), z.array(z.string())])).default({}),
    body: z
      .unknown()
      .optional()
      .meta({ description: 'A JSON value, sent as JSON; a string is sent as it is' }),
    tenant: z
      .string()
      .optional()
      .meta({ description: 'Whose request it is: only with it are allowed_models looked at' }),
    policy: policyBody
      .optional()
      .meta({ description: 'Another policy than the one in use, without its memory' }),
  }),
  answers: {
    200: {
      about: '`outcome`: routed, rejected (with the error a client would get) or answered_by_router.',
      schema: z.looseObject({
        outcome: z.enum(['routed', 'rejected', 'answered_by_router']),
        route: z.string(),
        worker: z.string().optional(),
        policy: z.string().optional(),
        reason: z.string().optional(),
        hooks: z
          .literal('not_run')
          .optional()
          .meta({ description: 'Pre-routing hooks would be asked first; a dry run does not ask them' }),
        candidates: z.array(z.record(z.string(), z.unknown())).optional(),
        prefill_candidates: z.array(z.record(z.string(), z.unknown())).optional(),
        error: z.strictObject({ code: z.string(), status: z.int(), message: z.string() }).optional(),
      }),
    },
  },
  async handle(context, { body, note }) {
    const policy = body.policy && compiled(context, body.policy, ['policy']).settings;
    const { tenant } = body;
    if (tenant !== undefined && !context.tenants.named(tenant))
      throw new AdminError('TENANT_NOT_FOUND', `Tenant ${JSON.stringify(tenant)} not found`);
    note({ route: body.path, policy: policy && policyName(policy) });
    const result = await context.explain({
      method: body.method,
      target: body.path,
      headers: Object.entries(body.headers).flatMap(([name, values]) =>
        [values].flat().flatMap((value) => [name, value]),
      ),
      body: bytesOf(body.body),
      tenant,
      policy,
    });
    return { status: 200, json: result };
  },
});

function bytesOf(body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0);
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

export const POLICY_ROUTES: readonly AdminRoute[] = [switchPolicy, explain];
