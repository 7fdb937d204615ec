// Node's `spec` reporter, and before its summary the list of what was skipped (and of checks that failed earlier), so
// that nothing is left out in silence and the summary stays last.
//
// Where CI is set, a skip counts as a failure unless its reason begins with `registry lacks`: what a machine of ours
// can have, it has to have.
import { Readable } from 'node:stream';
import { spec as SpecReporter } from 'node:test/reporters';

const ALLOWED_IN_CI = /^registry lacks /;

export default async function* report(events) {
  yield* Readable.from(withSkipped(events)).pipe(new SpecReporter());
}

async function* withSkipped(events) {
  const skipped = [];
  let summaryBegun = false;
  for await (const event of events) {
    const isResult = event.type === 'test:pass' || event.type === 'test:fail';
    if (isResult && isLeftOut(event.data)) skipped.push(event.data);
    // The summary is the run's own diagnostics, which come after the last test; `tests N` opens it.
    if (!summaryBegun && event.type === 'test:diagnostic' && isSummaryHead(event.data)) {
      summaryBegun = true;
      yield* notes(skipped);
    }
    yield event;
  }
}

function isLeftOut(data) {
  return (data.skip ?? false) !== false || (data.todo ?? false) !== false;
}

function isSummaryHead(data) {
  return data.nesting === 0 && data.file === undefined && /^tests \d+$/.test(data.message);
}

function* notes(skipped) {
  const failedChecks = process.env['FAILED_CHECKS'];
  if (failedChecks) yield note(`FAILED before the tests: ${failedChecks} (see above)`);
  if (skipped.length === 0) {
    yield note('nothing was skipped');
    return;
  }
  for (const data of skipped) {
    const reason =
      [data.skip, data.todo].find((value) => typeof value === 'string' && value !== '') ?? 'no reason given';
    const refused = Boolean(process.env['CI']) && !ALLOWED_IN_CI.test(reason);
    if (refused) process.exitCode = 1;
    yield note(`skipped${refused ? ', which CI does not allow' : ''}: ${data.name} (${reason})`);
  }
}

function note(message) {
  return { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } };
}
