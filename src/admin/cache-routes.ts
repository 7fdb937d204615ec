import * as z from 'zod';
import { AdminError } from './admin-error.ts';
import { route, type AdminRoute } from './route.ts';

const flushCache = route({
  method: 'POST',
  path: '/admin/cache/flush',
  action: 'answers.flush',
  about:
    'Forget stored answers: all of them, or those of a model, of a tenant, or of both. The caches of the workers stay; `POST /flush_cache` is for those.',
  body: z
    .strictObject({
      all: z.literal(true).optional(),
      model: z.string().min(1).optional().meta({ description: 'As it was resolved by the rules' }),
      tenant: z.string().min(1).optional(),
    })
    .refine(
      ({ all, model, tenant }) => (all === true) !== (model !== undefined || tenant !== undefined),
      'expected all: true, or a model, a tenant or both',
    ),
  answers: {
    200: {
      about: 'How many answers are forgotten; 0 also where none are kept.',
      schema: z.strictObject({ flushed: z.int() }),
    },
    503: { about: 'Redis or Valkey is away, or broke off: answers may be left there. `flushed` are gone.' },
  },
  async handle({ flushAnswers }, { body, note }) {
    const { model, tenant } = body;
    const { count: flushed, cutShort } = await flushAnswers({ model, tenant });
    note({ ...(model !== undefined && { model }), ...(tenant !== undefined && { tenant }), flushed });
    if (cutShort !== undefined)
      throw new AdminError(
        'FLUSH_INCOMPLETE',
        `answers may be left in redis (${cutShort}): ask again once it answers`,
        { flushed },
      );
    return { status: 200, json: { flushed } };
  },
});

export const CACHE_ROUTES: readonly AdminRoute[] = [flushCache];
