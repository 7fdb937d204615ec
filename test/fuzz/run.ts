/**
 * `npm run fuzz`: messages with accidents in them, read by the router's own parsers and by Node's; and sound ones through
 * a whole router.
 */
import { parseArgs } from 'node:util';
import { runExchanges } from './exchanges/exchanges.ts';
import { fuzz } from './fuzz.ts';
import { compareRequests } from './requests.ts';
import { compareResponse } from './responses.ts';

const PARTS = {
  responses: () => runSide('responses', compareResponse),
  requests: () => runSide('requests', compareRequests),
  exchanges: throughRouter,
};
const USAGE = `Usage: npm run fuzz -- [flags]

  --only PART     ${Object.keys(PARTS).join(', ')}; all of them without it.
  --messages N    How many to the parser of either side. [2000000]
  --exchanges N   How many requests and answers through a router. [200000]
  --seed N        Which. [1]
`;
const REPORT_EVERY = 100_000;
const REPORT_EXCHANGES_EVERY = 10_000;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    messages: { type: 'string', default: '2000000' },
    exchanges: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function runSide(name: string, compare: Parameters<typeof fuzz>[0]): void {
  const { looser, stricter, same } = fuzz(compare, Number(values.messages), Number(values.seed), (done) => {
    if (done % REPORT_EVERY === 0) say(`${name}: ${done}`);
  });
  say(`${name} read alike: ${same}`);
  for (const [why, count] of [...stricter].sort(([, left], [, right]) => right - left))
    say(`refused, though llhttp takes it: ${count} for ${why}`);
  for (const { why, text } of looser) say(`LOOSER: ${why}\n  ${JSON.stringify(text)}`);
  if (looser.length > 0) process.exitCode = 1;
}

async function throughRouter(): Promise<void> {
  let reported = 0;
  const { exchanges, framings, faults } = await runExchanges(
    Number(values.exchanges),
    Number(values.seed),
    (done) => {
      if (done - reported < REPORT_EXCHANGES_EVERY) return;
      reported = done;
      say(`exchanges: ${done}`);
    },
  );
  say(
    `exchanges: ${exchanges}, answered ${[...framings].map(([framing, count]) => `${count} ${framing}`).join(', ')}`,
  );
  for (const fault of faults) say(`FAULT: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

const { only } = values;
if (values.help) {
  process.stdout.write(USAGE);
} else if (only !== undefined && !Object.hasOwn(PARTS, only)) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  for (const [name, run] of Object.entries(PARTS)) if (only === undefined || only === name) await run();
}
