import * as z from 'zod';
import { compilePolicy, policyBody } from './policy-body.ts';
import { route, type AdminRoute } from './route.ts';

const shownPolicy = z.record(z.string(), z.unknown());

const switchPolicy = route({
  method: 'PUT',
  path: '/admin/policy',
  action: 'policy.switch',
  about:
    'Switch the policy. New requests get the new one, those under way keep theirs. The predicted index lives on where both look at it; pinned sessions and turns begin anew. Not kept over a restart.',
  body: policyBody,
  answers: {
    200: {
      about: 'The policy in use from now on.',
      schema: z.strictObject({
        status: z.literal('ok'),
        changed: z
          .boolean()
          .meta({ description: 'False where it was the policy already: then nothing is touched' }),
        policy: shownPolicy,
        previous: shownPolicy,
      }),
    },
    400: { about: 'Unknown policy, wrong parameter, or one that is fixed at the start.' },
  },
  handle(context, { body, note }) {
    const { settings, shown } = compilePolicy(body, {
      policy: context.config.policy,
      loadCheckIntervalMs: context.settings.loadCheckIntervalMs,
    });
    const previous = context.policyShown;
    const changed = context.policy.switchTo(settings);
    if (changed) context.policyShown = shown;
    note({ policy: shown.type, previous: previous.type, changed });
    return { status: 200, json: { status: 'ok', changed, policy: context.policyShown, previous } };
  },
});

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
        candidates: z.array(z.record(z.string(), z.unknown())).optional(),
        error: z.strictObject({ code: z.string(), status: z.int(), message: z.string() }).optional(),
      }),
    },
  },
  handle(context, { body, note }) {
    const policy =
      body.policy &&
      compilePolicy(body.policy, {
        policy: context.config.policy,
        loadCheckIntervalMs: context.settings.loadCheckIntervalMs,
      }).settings;
    note({ route: body.path, policy: policy?.type });
    const result = context.explain({
      method: body.method,
      target: body.path,
      headers: Object.entries(body.headers).flatMap(([name, values]) =>
        [values].flat().flatMap((value) => [name, value]),
      ),
      body: bytesOf(body.body),
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
