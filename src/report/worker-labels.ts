const MOST_LABEL = 22;

/** Workers' URLs as a picture has room for: without what all have in common where they are long, and with their own ends. */
export function workerLabels(names: readonly string[]): readonly string[] {
  const bare = names.every((name) => name.startsWith('http://'))
    ? names.map((name) => name.slice('http://'.length))
    : names;
  if (longest(bare) <= MOST_LABEL) return bare;
  const end = commonEnd(bare);
  return bare.map((name) => {
    const own = name.slice(0, name.length - end);
    return own.length <= MOST_LABEL ? own : `…${own.slice(1 - MOST_LABEL)}`;
  });
}

/** Length of what all end with, from a dot or the port's colon on. */
function commonEnd(names: readonly string[]): number {
  const [first = '', ...others] = names;
  if (others.length === 0) return 0;
  for (let at = 1; at < first.length; at += 1)
    if (/[.:]/.test(first.charAt(at)) && others.every((name) => name.endsWith(first.slice(at))))
      return first.length - at;
  return 0;
}

function longest(names: readonly string[]): number {
  return names.reduce((most, { length }) => Math.max(most, length), 0);
}
