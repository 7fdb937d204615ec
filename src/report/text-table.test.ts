import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fitTables, leftOutNote, LINE_WIDTH, textTable } from './text-table.ts';

describe('a table on a terminal', () => {
  it('has names on the left and numbers on the right of their columns, and no blanks at the end of a line', () => {
    assert.deepEqual(
      textTable([
        ['name', 'a', 'long head'],
        ['one', '1.5', '2'],
        ['three', '10.25', ''],
      ]),
      ['name       a  long head', 'one      1.5          2', 'three  10.25'],
    );
  });

  it('has a name that leaves no room for the numbers on a line of its own', () => {
    const long = 'x'.repeat(90);
    const cells = Array.from({ length: 4 }, () => '123456789');
    assert.deepEqual(
      textTable([
        ['name', ...cells],
        ['short', ...cells],
        [long, ...cells],
      ]),
      [`name   ${cells.join('  ')}`, `short  ${cells.join('  ')}`, long, `       ${cells.join('  ')}`],
    );
    // There is room beside fewer numbers.
    assert.deepEqual(
      textTable([
        ['name', '1'],
        [long, '2'],
      ]).length,
      2,
    );
  });
});

describe('tables that are to fit into a line', () => {
  const row = (cell: string): string[] => ['name', ...Array.from({ length: 10 }, () => cell)];
  const ranks = [1, 10, 2, 9, 3, 8, 4, 7, 5, 6];

  it('lose their least important columns, and all tables the same ones', () => {
    const narrow = [row('head'), row('1')];
    const wide = [row('head'), row('1234567890123456')];
    assert.deepEqual(fitTables([narrow], ranks), { tables: [narrow], leftOut: [] });
    const { tables, leftOut } = fitTables([narrow, wide], ranks);
    // Six columns of 16 and two blanks each fit beside the name.
    assert.deepEqual(leftOut, [1, 3, 5, 7]);
    assert.deepEqual(
      tables.map((lines) => lines.map(({ length }) => length)),
      [
        [7, 7],
        [7, 7],
      ],
    );
    for (const lines of tables)
      for (const line of textTable(lines)) assert.ok(line.length <= LINE_WIDTH, line);
    assert.deepEqual(leftOutNote(['a', 'b', 'c'], [0, 2]), [
      'left out to fit into a line: a, c; --wide shows all',
    ]);
    assert.deepEqual(leftOutNote(['a'], []), []);
  });

  it('keep one column at least, whatever its width', () => {
    const { tables, leftOut } = fitTables([[['name', 'x'.repeat(200), '1']]], [1, 2]);
    assert.deepEqual([tables[0]?.[0]?.length, leftOut], [2, [1]]);
  });
});
