/** The guide page has every check and every field of the JSON. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CHECKS } from './checks/index.ts';
import { doctorReport } from './report.ts';
import { routerChecks } from './running-router.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/guide/doctor.md'), 'utf8');
const cells = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? '');

describe('the guide page of the doctor', () => {
  it('has every check, in the order of the list', () => {
    const names = [...routerChecks({ url: '', workers: new Map(), config: undefined }), ...CHECKS].map(
      ({ name }) => name,
    );
    const first = cells.indexOf('router');
    assert.deepEqual(cells.slice(first, first + names.length), names);
  });

  it('has every field of the report', () => {
    const { workers, ...others } = doctorReport.shape;
    const fields = [
      ...Object.keys(others),
      ...Object.keys(workers.element.shape).map((name) => `workers[].${name}`),
    ];
    for (const field of fields)
      assert.ok(
        cells.some((cell) => cell.replace(/\[\]$/, '') === field),
        field,
      );
    for (const field of Object.keys(workers.element.shape.checks.element.shape))
      assert.match(page, new RegExp(`\`${field}\``));
  });

  it('needs only checks that stand before', () => {
    const seen = new Set<string>();
    for (const { name, needs } of CHECKS) {
      assert.ok(
        needs.every((needed) => seen.has(needed)),
        name,
      );
      assert.ok(!seen.has(name), name);
      seen.add(name);
    }
  });
});
