/** `npm run fuzz`: messages with accidents in them, read by the router's own parsers and by Node's. */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';
import { compareRequests } from './requests.ts';
import { compareResponse } from './responses.ts';

const SIDES = { responses: compareResponse, requests: compareRequests };
const USAGE = `Usage: npm run fuzz -- [flags]

  --only PART    ${Object.keys(SIDES).join(' or ')}; all of them without it.
  --messages N   How many of each. [2000000]
  --seed N       Which. [1]
`;
const REPORT_EVERY = 100_000;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    messages: { type: 'string', default: '2000000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function runSide(name: keyof typeof SIDES): void {
  const { looser, stricter, same } = fuzz(
    SIDES[name],
    Number(values.messages),
    Number(values.seed),
    (done) => {
      if (done % REPORT_EVERY === 0) process.stdout.write(`${name}: ${done}\n`);
    },
  );
  process.stdout.write(`${name} read alike: ${same}\n`);
  for (const [why, count] of [...stricter].sort(([, left], [, right]) => right - left))
    process.stdout.write(`refused, though llhttp takes it: ${count} for ${why}\n`);
  for (const { why, text } of looser) process.stdout.write(`LOOSER: ${why}\n  ${JSON.stringify(text)}\n`);
  if (looser.length > 0) process.exitCode = 1;
}

const { only } = values;
if (values.help) {
  process.stdout.write(USAGE);
} else if (only !== undefined && !Object.hasOwn(SIDES, only)) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  for (const name of ['responses', 'requests'] as const)
    if (only === undefined || only === name) runSide(name);
}
