import * as z from 'zod';
import { key } from './field.ts';

export const anthropicKeys = {
  anthropic: key(z.enum(['auto', 'pass', 'translate']).default('auto'), {
    group: 'Models',
    about:
      "Requests of Anthropic's Messages API: auto = each worker that has /v1/messages gets them as they come, others get them as a chat; pass = all as they come; translate = all as a chat.",
  }),
};
