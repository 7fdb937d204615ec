/** A parameter of a request target's query, by byte range: names and values are read as form parsers do, the rest stays. */

/** Its values, decoded, in order. */
export function queryValues(target: string, name: string): string[] {
  const values: string[] = [];
  for (const piece of split(target).pieces) {
    const value = valueIn(piece, name);
    if (value !== undefined) values.push(value);
  }
  return values;
}

/** The target with that value wherever the parameter stands. */
export function setQueryParameter(target: string, name: string, value: string): string {
  const { path, pieces } = split(target);
  const by = encodeURIComponent(value.toWellFormed());
  const changed = pieces.map((piece) => {
    if (valueIn(piece, name) === undefined) return piece;
    const equals = piece.indexOf('=');
    return `${equals < 0 ? piece : piece.slice(0, equals)}=${by}`;
  });
  return changed.length === 0 ? target : `${path}?${changed.join('&')}`;
}

function valueIn(piece: string, name: string): string | undefined {
  // A question mark at the very beginning would not count as part of the name.
  const [read] = new URLSearchParams(`&${piece}`);
  return read?.[0] === name ? read[1] : undefined;
}

function split(target: string): { readonly path: string; readonly pieces: readonly string[] } {
  const mark = target.indexOf('?');
  if (mark < 0) return { path: target, pieces: [] };
  return { path: target.slice(0, mark), pieces: target.slice(mark + 1).split('&') };
}
