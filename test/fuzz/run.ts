/** `npm run fuzz`: messages with accidents in them, read by the router's own parser and by Node's. */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';

const USAGE = `Usage: npm run fuzz -- [flags]

  --messages N   How many. [2000000]
  --seed N       Which. [1]
`;
const REPORT_EVERY = 100_000;

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '2000000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(USAGE);
} else {
  const { looser, stricter, same } = fuzz(Number(values.messages), Number(values.seed), (done) => {
    if (done % REPORT_EVERY === 0) process.stdout.write(`${done} messages\n`);
  });
  process.stdout.write(`read alike: ${same}\n`);
  for (const [why, count] of [...stricter].sort(([, left], [, right]) => right - left))
    process.stdout.write(`refused, though llhttp takes it: ${count} for ${why}\n`);
  for (const { why, text } of looser) process.stdout.write(`LOOSER: ${why}\n  ${JSON.stringify(text)}\n`);
  process.exitCode = looser.length > 0 ? 1 : 0;
}
