import * as z from 'zod';
import { count, key, milliseconds, secs } from './field.ts';
import { redisSection } from './redis-schema.ts';
import { isPath } from '../../base/path.ts';

const tokenizerPath = () =>
  z
    .string()
    .refine(
      isPath,
      'expected the folder of a model or its tokenizer.json, beginning with /, ./ or ../ (nothing is fetched from a hub: give a directory)',
    );

const MOST_PATHS = 256;

/** Which token ids prompts have. */
export const tokenKeys = {
  exact_tokens: key(z.enum(['auto', 'always', 'off']).default('auto'), {
    group: 'Tokens',
    about:
      'Whether prompts are tokenised as the worker does it: auto = where the contents of caches are known in tokens (events, LMCache) or the policy needs them; always; off = token counts are estimated.',
  }),
  tokenizer_path: key(tokenizerPath().optional(), {
    group: 'Tokens',
    about:
      'The folder with tokenizer.json, tokenizer_config.json and chat_template.jinja of the models, or the tokenizer.json itself: prompts are tokenised here, as long as the workers do it the same way.',
    value: 'PATH',
    defaultText: 'none',
  }),
  model_path: key(tokenizerPath().optional(), {
    group: 'Tokens',
    about: 'The same, where tokenizer_path is not given.',
    value: 'PATH',
    defaultText: 'none',
  }),
  tokenizer_model_map: key(
    z
      .record(z.string().min(1), tokenizerPath())
      .refine((map) => Object.keys(map).length <= MOST_PATHS, `expected at most ${MOST_PATHS} models`)
      .default({}),
    {
      group: 'Tokens',
      about: 'The same for single models, by a part of their name; the longest part that matches counts.',
      value: 'PART=PATH',
    },
  ),
  tokenize_timeout_ms: key(milliseconds().default(100), {
    group: 'Tokens',
    about: 'Longest wait of a request for the tokens of its prompt; after it they are estimated.',
  }),
  trust_request_chat_template: key(z.boolean().default(false), {
    group: 'Tokens',
    about:
      'Takes chats that bring a template of their own, as workers with the same option do, and tokenises them with it; else they are refused (400), as vLLM refuses them.',
  }),
  prompt_cache: z
    .strictObject({
      backend: key(z.enum(['memory', 'redis']).optional(), {
        group: 'Tokens',
        flags: [],
        env: false,
        about:
          'Where token ids of prompts are kept: in the router, or also in Redis or Valkey, where other routers find them.',
        defaultText: 'memory; redis with shared_state',
      }),
      redis: redisSection('Tokens', 'The server for it; else that of cache, else that of shared_state.'),
      ttl_secs: key(secs().default(3600), {
        group: 'Tokens',
        about: 'Token ids of a prompt are kept for this long.',
      }),
      max_entries: key(count(1).max(16_777_216).default(10_000), {
        group: 'Tokens',
        about: 'Prompts whose token ids are kept.',
      }),
      max_bytes: key(count(65_536).default(67_108_864), {
        group: 'Tokens',
        about: 'Bytes that these take together, at four for each token.',
      }),
    })
    .prefault({}),
};
