/** One equation: the sum of `values[i] * coefficient i` is about `target`. */
export interface Equation {
  readonly values: readonly number[];
  readonly target: number;
}

const ROUNDS = 20;
/** Keeps columns that always come together from blowing up; far below what data says. */
const RIDGE = 1e-7;
/** Residuals beyond this many spreads weigh little: something happened there that the model does not know. */
const TOLERANCE = 2.5;

/**
 * Coefficients, none below 0, that make the relative errors of the equations small. Those far off the others lose their
 * weight step by step (Cauchy's weights). Targets below `floor` count as if they were that large.
 */
export function fitRelative(equations: readonly Equation[], floor: number): readonly number[] {
  const columns = equations[0]?.values.length ?? 0;
  const scaled = equations.map(({ values, target }) => {
    const scale = 1 / Math.max(target, floor);
    return { values: values.map((value) => value * scale), target: target * scale };
  });
  let weights = scaled.map(() => 1);
  let solution: readonly number[] = new Array<number>(columns).fill(0);
  for (let round = 0; round < ROUNDS; round += 1) {
    solution = nonNegative(scaled, weights, columns);
    const residuals = scaled.map((equation) => Math.abs(valueOf(equation, solution) - equation.target));
    const spread = Math.max(1e-9, 1.4826 * median(residuals));
    weights = residuals.map((residual) => 1 / (1 + (residual / (TOLERANCE * spread)) ** 2));
  }
  return solution;
}

export function valueOf({ values }: Pick<Equation, 'values'>, coefficients: readonly number[]): number {
  return values.reduce((sum, value, index) => sum + value * (coefficients[index] ?? 0), 0);
}

/** The middle one, the higher of two; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1] ?? NaN;
}

/** Columns whose coefficient would be negative are left out, the most negative first. */
function nonNegative(
  equations: readonly Equation[],
  weights: readonly number[],
  columns: number,
): readonly number[] {
  let active = Array.from({ length: columns }, (_, index) => index);
  for (;;) {
    const part = solve(equations, weights, active);
    const lowest = part.reduce((at, value, index) => (value < (part[at] ?? 0) ? index : at), 0);
    if (active.length === 0 || (part[lowest] ?? 0) >= 0) {
      const solution = new Array<number>(columns).fill(0);
      for (const [index, column] of active.entries()) solution[column] = part[index] ?? 0;
      return solution;
    }
    active = active.filter((_, index) => index !== lowest);
  }
}

/** The normal equations, columns brought to one size, by Gaussian elimination. */
function solve(
  equations: readonly Equation[],
  weights: readonly number[],
  active: readonly number[],
): number[] {
  const sizes = active.map((column) =>
    Math.sqrt(
      equations.reduce((sum, { values }, row) => sum + (weights[row] ?? 0) * (values[column] ?? 0) ** 2, 0),
    ),
  );
  const matrix = active.map((left, at) =>
    [...active, -1].map((right, other) => {
      const sum = equations.reduce((total, { values, target }, row) => {
        const value = right < 0 ? target : (values[right] ?? 0) / (sizes[other] || 1);
        return total + (weights[row] ?? 0) * ((values[left] ?? 0) / (sizes[at] || 1)) * value;
      }, 0);
      return at === other ? sum + RIDGE : sum;
    }),
  );
  const count = active.length;
  for (let pivot = 0; pivot < count; pivot += 1) eliminate(matrix, pivot);
  return matrix.map((row, index) => (row[count] ?? 0) / (row[index] || 1) / (sizes[index] || 1));
}

function eliminate(matrix: number[][], pivot: number): void {
  const from = matrix[pivot];
  if (from === undefined) return;
  const divisor = from[pivot] || 1;
  for (const [index, row] of matrix.entries()) {
    if (index === pivot) continue;
    const factor = (row[pivot] ?? 0) / divisor;
    for (let column = pivot; column < row.length; column += 1)
      row[column] = (row[column] ?? 0) - factor * (from[column] ?? 0);
  }
}
