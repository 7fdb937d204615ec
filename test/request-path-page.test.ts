import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const ROOT = resolve(import.meta.dirname, '..');

test('the drawing of the request path uses names that exist in the code', () => {
  const page = readFileSync(join(ROOT, 'docs/design/request-path.md'), 'utf8');
  const drawing = /```\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const names = [...drawing.matchAll(/^ {1,4}(?:│ {2})?([A-Za-z]+)\b(?= )/gm)].map((match) => match[1] ?? '');
  const source = globSync('src/{request,http,workers}/**/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  const steps = names.filter((name) => name !== 'client');
  assert.ok(steps.length >= 12, `found only ${steps.join(', ')}`);
  for (const name of steps) {
    assert.match(source, new RegExp(`(?:function|class) ${name}\\b`), `${name} is drawn but does not exist`);
  }
});

test('names of the code on the pages about the design exist in the code', () => {
  const code = globSync('{src,bench}/**/*.{ts,mjs}', { cwd: ROOT })
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  const words = new Set(code.match(/\w+/g));
  const missing = globSync('docs/design/*.md', { cwd: ROOT }).flatMap((path) => {
    const named = readFileSync(join(ROOT, path), 'utf8').matchAll(
      /`(\w*[a-z][A-Z]\w*)(?:\.\w+)?(?:\(.*?\))?`/g,
    );
    return [...named].map((match) => match[1] ?? '').filter((name) => !words.has(name));
  });
  assert.deepEqual(missing, []);
});

test('the steps are drawn in the order in which routeRequest takes them', () => {
  const page = readFileSync(join(ROOT, 'docs/design/request-path.md'), 'utf8');
  const path = readFileSync(join(ROOT, 'src/request/route-request.ts'), 'utf8');
  const body = path.slice(path.indexOf('export async function'));
  const steps = [
    'identify',
    'answerPreflight',
    'guardRoute',
    'authenticate',
    'answerLocally',
    'readCall',
    'resolveModel',
    'runHooks',
    'waitForTurn',
    'preparePolicy',
    'forward',
    'finish',
  ];
  for (const text of [page, body]) {
    const places = steps.map((step) => text.search(new RegExp(`\\b${step}\\b[ (]`)));
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
    assert.ok(
      places.every((place) => place >= 0),
      JSON.stringify(places),
    );
  }
});
