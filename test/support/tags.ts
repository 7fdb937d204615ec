import assert from 'node:assert/strict';

const VOID = new Set(['meta', 'input', 'br', '!doctype']);

/** Checks that every tag that opens closes in order, and hands back all open tags. */
export function tagsOf(page: string): string[] {
  const bare = page.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '<$1></$1>');
  const open: string[] = [];
  const tags: string[] = [];
  for (const [tag, slash, name = ''] of bare.matchAll(/<(\/?)([!a-z][a-z0-9]*)(?:\s[^<>]*)?>/g)) {
    if (slash === '/') assert.equal(open.pop(), name, tag);
    else {
      tags.push(tag);
      if (!VOID.has(name)) open.push(name);
    }
  }
  assert.deepEqual(open, []);
  // What is no tag is text without angle brackets.
  assert.ok(!/[<>]/.test(bare.replaceAll(/<\/?[!a-z][a-z0-9]*(?:\s[^<>]*)?>/g, '')));
  return tags;
}
