/**
 * The path that guards and matching look at: percent-decoded where that reveals a plain character, dot segments and
 * doubled or trailing slashes resolved, so that `/%73leep`, `//sleep` and `/x/../sleep/` are all `/sleep`. What climbs
 * above the root begins with `/..`.
 */
export function normalisePath(path: string): string {
  if (PLAIN.test(path)) return path;
  const decoded = decodeRepeatedly(path).replaceAll('\\', '/');
  const segments: string[] = [];
  for (const segment of decoded.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..' && segments.length > 0 && segments.at(-1) !== '..') segments.pop();
    else segments.push(segment);
  }
  return `/${segments.join('/')}`;
}

/** Clients that take us for a forward proxy send `GET http://host/path`; workers want the path. */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const authority = /^https?:\/\/[^/?#]*/i.exec(target);
  const rest = authority ? target.slice(authority[0].length) : '';
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Some servers cut a fragment off, so `/sleep#x` would be `/sleep` to them. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
}

const PLAIN = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$/;

/** A worker, or a proxy before it, may decode more than once. */
function decodeRepeatedly(path: string): string {
  let current = path;
  for (let round = 0; round < 3; round += 1) {
    const next = decodeOnce(current);
    if (next === current) break;
    current = next;
  }
  return current;
}

function decodeOnce(path: string): string {
  return path.replace(/%[0-7][0-9A-Fa-f]/g, (escape) =>
    String.fromCharCode(Number.parseInt(escape.slice(1), 16)),
  );
}
