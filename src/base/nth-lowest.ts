/**
 * What would be at `place` if the first `count` values were sorted (Hoare's selection): a tenth of the work of sorting some hundreds. The
 * values, none of them NaN, are left in another order.
 */
export function nthLowest(values: Float64Array, place: number, count = values.length): number {
  let from = 0;
  let to = count - 1;
  while (from < to) {
    const pivot = values[(from + to) >> 1]!;
    let left = from;
    let right = to;
    while (left <= right) {
      while (values[left]! < pivot) left += 1;
      while (values[right]! > pivot) right -= 1;
      if (left > right) break;
      const value = values[left]!;
      values[left++] = values[right]!;
      values[right--] = value;
    }
    if (place <= right) to = right;
    else if (place >= left) from = left;
    else break;
  }
  return values[place]!;
}
