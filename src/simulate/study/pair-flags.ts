import { number, parseNumber, type Flag, type Rule } from './flag.ts';
import type { Split } from './options.ts';

const ENGINES: Rule = { least: 0, most: 4096, whole: true };
const TOKENS: Rule = { least: 0, most: 2 ** 31, whole: true };

/** What is said of fleets whose engines compute prompts or answers alone. */
export const PAIR_FLAGS: readonly Flag[] = [
  number('--prefill', 'prefill', ENGINES, {
    group: 'Fleet',
    value: 'N',
    about: 'Engines that compute prompts for those of --decode.',
  }),
  number('--decode', 'decode', ENGINES, {
    group: 'Fleet',
    value: 'N',
    about: 'Engines that fetch computed prompts and answer; they can serve requests whole as well.',
  }),
  {
    name: '--split',
    value: 'RULES',
    group: 'Fleet',
    about:
      'Which requests go through both: auto (where that is expected to be sooner), always, never, or those with so many uncached prompt tokens; with commas between, each is compared.',
    set: (draft, text) => {
      const splits = text.split(',').map(parseSplit);
      if (!splits.every((one) => one !== undefined))
        return 'auto, always, never or tokens, with commas between';
      draft.splits = [...new Set(splits)];
      return undefined;
    },
  },
  ...(['prefill', 'decode'] as const).map((stage): Flag => ({
    name: `--${stage}-policy`,
    value: 'POLICY',
    group: 'Fleet',
    about: `Who chooses the ${stage} engine, instead of the policies that are compared.`,
    set: (draft, text) => {
      draft[`${stage}Policy`] = text;
      return text === '' ? 'the name of a policy' : undefined;
    },
  })),
  number(
    '--kv-bytes-per-token',
    'kvBytesPerToken',
    { least: 1, whole: true },
    { group: 'Fleet', value: 'N', about: 'What a token of KV cache takes on the way.' },
  ),
  number(
    '--link-gbits',
    'linkGbits',
    { least: 0.001 },
    {
      group: 'Fleet',
      value: 'GBIT_PER_S',
      about:
        'How fast they go from one prefill engine to one decode engine, all transfers between the two together.',
    },
  ),
];

function parseSplit(text: string): Split | undefined {
  const word = (['auto', 'always', 'never'] as const).find((one) => one === text);
  return word ?? parseNumber(text, TOKENS);
}
