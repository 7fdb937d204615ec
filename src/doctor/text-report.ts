import type { Mark } from './finding.ts';
import type { DoctorReport } from './report.ts';

/** As in the lines of the log: green, yellow, red; what was not looked at is faint. */
const COLOURS: Readonly<Record<Mark, string>> = { ok: '32', warn: '33', fail: '31', skipped: '2' };
const MARK_WIDTH = 'skipped'.length;

/** For people: a table for each worker, then what it comes to. */
export function textReport(report: DoctorReport, colours: boolean): string {
  const paint = (code: string, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  const lines: string[] = [];
  for (const { worker, checks } of report.workers) {
    lines.push(paint('1', worker));
    const nameWidth = Math.max(...checks.map(({ check }) => check.length));
    for (const { check, mark, finding, remedy } of checks) {
      lines.push(
        `  ${paint(COLOURS[mark], mark.padEnd(MARK_WIDTH))}  ${check.padEnd(nameWidth)}  ${finding}`,
      );
      if (remedy !== null) lines.push(`  ${' '.repeat(MARK_WIDTH + nameWidth + 2)}  ${paint('2', remedy)}`);
    }
    lines.push('');
  }
  lines.push(summary(report));
  return `${lines.join('\n')}\n`;
}

function summary({ workers }: DoctorReport): string {
  const count = (mark: Mark): number =>
    workers.reduce((sum, { checks }) => sum + checks.filter((one) => one.mark === mark).length, 0);
  const sum = (field: keyof DoctorReport['workers'][number]['cost']): number =>
    workers.reduce((total, { cost }) => total + cost[field], 0);
  const marks = [
    `${String(count('fail'))} failed`,
    `${String(count('warn'))} warned`,
    `${String(count('ok'))} ok`,
    `${String(count('skipped'))} skipped`,
  ];
  return (
    `${String(workers.length)} worker${workers.length === 1 ? '' : 's'}: ${marks.join(', ')}. ` +
    `The probes were ${String(sum('requests'))} requests of ${String(sum('prompt_tokens'))} prompt tokens and ${String(sum('completion_tokens'))} generated ones.`
  );
}
