// `npm run docs`: writes docs/reference/ from the code: configuration and command line from the schema, metrics from
// the table of series, errors from the catalogue. `--check` writes nothing and fails where a page is stale.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { STATUS_CODES } from 'node:http';
import { ADMIN_ERRORS } from '../src/admin/admin-error.ts';
import { ERRORS } from '../src/base/errors.ts';
import { referencePages } from '../src/config/show/reference.ts';
import { recordFields } from '../src/decisions/record-schema.ts';
import { SERIES } from '../src/observe/metrics.ts';
import { ROOT } from './lib/paths.mjs';
import { runScript } from './lib/set-up.mjs';

const GENERATED = '<!-- Written by `npm run docs`: edit the source it comes from, not this page. -->';

function pages() {
  const own = [
    { path: 'docs/reference/metrics.md', markdown: metricsPage(SERIES) },
    { path: 'docs/reference/errors.md', markdown: errorsPage(ERRORS, ADMIN_ERRORS) },
    { path: 'docs/reference/decision-record.md', markdown: recordPage(recordFields()) },
  ];
  return [...referencePages(), ...own].map(({ path, markdown }) => {
    const text = markdown.startsWith('<!--') ? markdown : `${GENERATED}\n\n${markdown}`;
    return { path, text: `${text.trimEnd()}\n` };
  });
}

function metricsPage(series) {
  const rows = [...series]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, labels, meaning }) => [code(name), type, labels.map(code).join(', '), meaning]);
  const histograms = series.filter(({ buckets }) => buckets !== undefined);
  const bounds = histograms.map(({ name, buckets }) => [code(name), buckets.join(', ')]);
  return `# Metrics

The router answers \`GET /metrics\` on \`--prometheus-host\` and \`--prometheus-port\` in Prometheus text format. Times are in
seconds, sizes in bytes. Labels are bounded: \`model\` is a known model or \`other\`, \`route\` a route of the endpoint table or
\`unmatched\`. The series of a worker disappear with it.

${table(['Series', 'Type', 'Labels', 'Meaning'], rows)}

## Buckets

${table(['Histogram', 'Upper bounds, besides +Inf'], bounds)}
`;
}

function errorsPage(errors, ofOperators) {
  const whose = { client: 'the client', router: 'the router', worker: 'the worker' };
  const rows = Object.entries(errors).map(([name, { status, source, retryable, type, meaning }]) => [
    code(name),
    `${status} ${STATUS_CODES[status] ?? ''}`.trim(),
    code(type),
    whose[source],
    retryable ? 'yes' : 'no',
    meaning,
  ]);
  const operatorRows = Object.entries(ofOperators).map(([name, { status, meaning }]) => [
    code(name),
    `${status} ${STATUS_CODES[status] ?? ''}`.trim(),
    meaning,
  ]);
  return `# Errors

Every error that the router itself makes has a stable \`code\`. It is in the body, \`error.code\` in OpenAI's shape:

\`\`\`json
{ "error": { "message": "...", "type": "rate_limit_error", "param": null, "code": "queue_full" } }
\`\`\`

Routes of Anthropic's API get Anthropic's shape. Errors of a worker pass through as the worker sent them. "Tried elsewhere"
says whether the router itself sends the request to another worker first, while nothing has reached the client and the retry
budget lasts. Answers with status 408, 429 and 503 carry \`Retry-After\`.

${table(['Code', 'Status', 'Type', 'Whose doing', 'Tried elsewhere', 'Meaning'], rows)}

## Worker and admin routes

Those for operators, \`/workers\`, \`/admin\` and the older ones, have errors of their own shape and codes:

\`\`\`json
{ "error": "labels.tier: expected a text", "code": "INVALID_REQUEST", "fields": [{ "path": "labels.tier", "message": "expected a text" }] }
\`\`\`

${table(['Code', 'Status', 'Meaning'], operatorRows)}
`;
}

function recordPage(fields) {
  const rows = fields.map(({ name, about, always }) => [code(name), always ? 'yes' : '', about]);
  return `# The decision record

Fields of a line of the [decision log](../guide/observability.md#the-decision-log). Durations are in ms, sizes in bytes. A field that is not always there is left out where it has nothing to say. \`vllm-router config schema --record\` writes
this as a JSON schema.

${table(['Field', 'Always', 'Meaning'], rows)}
`;
}

function table(head, rows) {
  const line = (cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(text) {
  return `\`${text}\``;
}

function read(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

runScript(async () => {
  const stale = pages().filter(({ path, text }) => read(path) !== text);
  if (process.argv.includes('--check')) {
    for (const { path } of stale) process.stdout.write(`${path} is stale: run \`npm run docs\`\n`);
    return stale.length === 0 ? 0 : 1;
  }
  for (const { path, text } of stale) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
    process.stdout.write(`wrote ${path}\n`);
  }
  return 0;
});
