import { parseArgs } from 'node:util';

export interface VllmOptions {
  /** Cases to run; all of them where it is empty. */
  readonly only: readonly string[];
  /** Where environment and model are, or are to be. */
  readonly directory: string | undefined;
  readonly install: boolean;
  /** Servers that run already, with the model and KV events. */
  readonly use: readonly string[];
  /** Two that run already with NIXL: the one for prefill, the one for decode. */
  readonly pair: readonly string[];
}

export const USAGE = `Usage: npm run test:vllm -- [flags]

  --only CASE,...   Only these cases.
  --dir DIRECTORY   Where the environment with vLLM is, or is to be made. [VLLM_TEST_DIR, else in the user's cache directory]
  --use URL,...     Take these servers, which somebody has started, where a case wants nothing particular of them.
  --pair URL,URL    The same of a prefill and a decode server with NIXL.
  --no-install      End where there is none, rather than make one: 3 GB to download, 7 GB on disk.

Starts real vLLM servers on the CPU, with a tiny model of random weights, and shows what the router believes of their caches
against what they report. x86_64 with AVX-512, Python 3.12 (PYTHON=/path/to/it where it is not found), 3 GB of memory for each
server and minutes to start one. Ends with status 1 where a figure is out of its bounds.
`;

/** Throws with a message for the user. */
export function readOptions(argv: readonly string[]): VllmOptions | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    allowNegative: true,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      dir: { type: 'string' },
      use: { type: 'string', multiple: true, default: [] },
      pair: { type: 'string', multiple: true, default: [] },
      install: { type: 'boolean', default: true },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const listOf = (texts: readonly string[]): string[] =>
    texts.flatMap((text) => text.split(',')).filter((item) => item !== '');
  return {
    only: listOf(values.only),
    directory: values.dir,
    install: values.install,
    use: listOf(values.use),
    pair: listOf(values.pair),
  };
}
