import * as z from 'zod';
import { backendName } from './external-schema.ts';
import { key } from './field.ts';

const LONGEST_NAME = 1024;

/** A line break in a name would break the form that it is written into. */
const modelName = () =>
  z
    .string()
    .min(1)
    .max(LONGEST_NAME)
    // eslint-disable-next-line no-control-regex -- control characters are what it is about
    .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, 'expected a name without control characters');

const pattern = modelName().regex(
  /^[^*]*\*?$/,
  'expected a model, or the beginning of its name with * behind it',
);

const part = z.strictObject({
  model: modelName(),
  weight: z.number().positive().max(1_000_000),
});

const rule = z.strictObject({
  match: pattern,
  rewrite: modelName().optional(),
  fallback: z.array(modelName()).min(1, 'expected at least one model').max(256).optional(),
  split: z.array(part).min(1, 'expected at least one model').max(256).optional(),
  external: z
    .union([backendName(), z.array(backendName()).min(1, 'expected at least one backend').max(16)])
    .optional(),
  when: z.enum(['always', 'unavailable', 'saturated']).optional(),
  saturated_at: z.int().min(1).max(1_000_000).optional(),
});

export type ModelRuleConfig = z.output<typeof rule>;

/** Which model stands behind the name that a client asks for. */
export const modelRuleKeys = {
  model_rules: key(z.array(rule).max(10_000).default([]), {
    group: 'Models',
    flags: [],
    env: false,
    about:
      'Other models for the names that clients ask for: match (a name, or its beginning with * behind it) and one of rewrite (a model), fallback (models, the first with a healthy worker serves) or split (models with weights); the first rule that matches decides. external (names of external backends, the first that can take it does) with when (unavailable, saturated or always; saturated_at = requests on each worker, 256) stands beside them: it is matched with the name that they lead to.',
  }),
  response_model: key(z.enum(['resolved', 'requested']).default('resolved'), {
    group: 'Models',
    about:
      "The model's name in answers where a rule changed it: as the worker says it, or as the client asked for it.",
  }),
};
