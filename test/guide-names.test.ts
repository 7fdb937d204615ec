/** Names, defaults and queries on the guide pages and in the alert rules are those of the code. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { META_FLAGS } from '../src/config/load/flags.ts';
import { CONFIG_KEYS } from '../src/config/schema/keys.ts';
import { SERIES, type SeriesSpec } from '../src/observe/series-table.ts';
import { POLICIES } from '../src/routing/policies/index.ts';
import { EXPLAIN_HEADERS } from '../src/request/answer/explain.ts';
import { SIM_FLAGS } from '../src/sim/server/flags.ts';
import { blocksOf, proseOf, readPage, ROOT, tableRows } from './support/pages.ts';

const GUIDES = ['first-route', 'policies', 'reliability', 'observability', 'prefill-decode'].map(
  (name) => `docs/guide/${name}.md`,
);
const RULES = 'deploy/prometheus/vllm-router.rules.yml';

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

// The project's own file.
const rules = (parse(readPage(RULES)) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

describe('series', () => {
  const seriesOf = new Map<string, SeriesSpec>();
  for (const spec of SERIES) {
    seriesOf.set(spec.name, spec);
    if (spec.type === 'histogram')
      for (const suffix of ['_bucket', '_sum', '_count']) seriesOf.set(spec.name + suffix, spec);
  }
  const queries = [
    ...GUIDES.flatMap((page) => blocksOf(page).filter((block) => block.lang === 'promql')).flatMap(
      ({ at, text }) =>
        text.split(/\n(?=\S)/).map((query) => ({ at, query: query.replace(/^#.*$/gm, '').trim() })),
    ),
    ...GUIDES.flatMap((page) => inlineQueries(page).map((query) => ({ at: page, query }))),
    ...rules.map((rule) => ({ at: `${RULES} ${rule.alert}`, query: rule.expr })),
  ].filter(({ query }) => query !== '');

  it('of queries exist and have the labels that are asked for', () => {
    assert.ok(queries.length > 30);
    const wrong = queries.flatMap(({ at, query }) =>
      problemsOf(query, seriesOf).map((problem) => `${at}: ${problem}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('of the prose exist', () => {
    const named = GUIDES.flatMap(
      (page) => readPage(page).match(/\b(?:vllm_router|process|nodejs)_[a-z0-9_]+[a-z0-9]\b/g) ?? [],
    );
    assert.deepEqual(
      named.filter((name) => !seriesOf.has(name)),
      [],
    );
  });
});

/** Queries in the tables of a page: code that calls something on a series. */
function inlineQueries(page: string): string[] {
  return [...proseOf(page).matchAll(/`([^`\n]*vllm_router_[^`\n]*)`/g)].map((match) => match[1] ?? '');
}

const ADDED_BY_PROMETHEUS = ['le', 'instance', 'job'];

function problemsOf(query: string, seriesOf: ReadonlyMap<string, SeriesSpec>): string[] {
  const problems: string[] = [];
  const labels = new Set(ADDED_BY_PROMETHEUS);
  for (const [, name = '', selector = ''] of query.matchAll(
    /\b((?:vllm_router|nodejs|process)_\w+|up)(?:\{([^}]*)\})?/g,
  )) {
    const spec = seriesOf.get(name);
    if (!spec && name !== 'up') problems.push(`no series ${name}`);
    for (const label of spec?.labels ?? []) labels.add(label);
    for (const [, label = ''] of selector.matchAll(/(\w+)\s*[=!]/g))
      if (![...(spec?.labels ?? []), ...ADDED_BY_PROMETHEUS].includes(label))
        problems.push(`${name} has no label ${label}`);
    if (spec?.type === 'counter' && !new RegExp(`(?:rate|increase)\\(${name}`).test(query) && query !== name)
      problems.push(`${name} is a counter: without rate it says nothing`);
  }
  for (const [, list = ''] of query.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(','))
      if (!labels.has(label.trim())) problems.push(`nothing in it has label ${label.trim()}`);
  if (query.split('(').length !== query.split(')').length) problems.push(`unbalanced: ${query}`);
  return problems;
}

describe('alerts', () => {
  it('are those of the page, in its order', () => {
    const listed = tableRows(proseOf('docs/guide/observability.md'))
      .map(([first = '']) => /^`(VllmRouter\w+)`$/.exec(first)?.[1])
      .filter((name) => name !== undefined);
    assert.deepEqual(
      listed,
      rules.map((rule) => rule.alert),
    );
  });
});

describe('settings', () => {
  it('have the defaults that the tables say', () => {
    const wrong = GUIDES.flatMap((page) =>
      tableRows(proseOf(page)).flatMap(([first = '', second = '']) => {
        const name = /^`([a-z_.]+)`$/.exec(first)?.[1];
        const keys = name === undefined ? [] : keysNamed(name);
        if (keys.length === 0 || page.endsWith('observability.md')) return [];
        return keys.some((key) => isDefault(key, second)) ? [] : [`${page}: ${first} is not ${second}`];
      }),
    );
    assert.deepEqual(wrong, []);
  });

  it('have the defaults that the prose says in brackets', () => {
    let seen = 0;
    const wrong = GUIDES.flatMap((page) =>
      [...proseOf(page).matchAll(/`([a-z_.]+)` \((\d[\d,.]*)[,)]/g)].flatMap(
        ([text, name = '', value = '']) => {
          seen += 1;
          return keysNamed(name).some((key) => isDefault(key, value)) ? [] : [`${page}: ${text}`];
        },
      ),
    );
    assert.deepEqual(wrong, []);
    assert.ok(seen > 15, `${seen} defaults found`);
  });

  it('of a policy are all there, under its own heading', () => {
    const page = readPage('docs/guide/policies.md');
    for (const policy of Object.keys(POLICIES)) {
      const section = new RegExp(`^### .*\\b${policy}\\b.*\n([\\s\\S]*?)(?=^##)`, 'm').exec(page)?.[1];
      assert.ok(section !== undefined, `no heading for ${policy}`);
      const listed = tableRows(section).map(([first = '']) => first.replaceAll('`', ''));
      const own = CONFIG_KEYS.filter((key) => key.policies?.includes(policy) && key.flags.length > 0);
      assert.deepEqual(listed.sort(), own.map((key) => key.path.at(-1) ?? '').sort(), policy);
    }
  });
});

type Key = (typeof CONFIG_KEYS)[number];

/** Settings by their full name, or by the last part of it. */
function keysNamed(name: string): Key[] {
  return CONFIG_KEYS.filter((key) => key.name === name || key.path.at(-1) === name);
}

function isDefault(key: Key, shown: string): boolean {
  const plain = shown.replaceAll(',', '').replace(/ \(off\)$/, '');
  return plain === key.defaultText || plain === String(key.default);
}

describe('words', () => {
  it('after -- are flags', () => {
    const known = new Set<string>([
      ...META_FLAGS.flatMap((meta) => [...meta.flags]),
      ...CONFIG_KEYS.flatMap((key) => key.flags.flatMap((flag) => [flag, flag.replace('--', '--no-')])),
      ...SIM_FLAGS.flatMap((flag) => [flag.name, ...(flag.aliases ?? [])]),
      '--record',
      ...['--pd-disaggregation', '--vllm-pd-disaggregation'],
      // vLLM's, npm's and curl's own.
      ...['--enable-prompt-tokens-details', '--kv-transfer-config', '--profiler-config', '--global'],
      // SGLang's, and the demo's.
      ...['--disaggregation-mode', '--pd'],
    ]);
    const unknown = GUIDES.flatMap((page) =>
      (readPage(page).match(/(?<![\w-])--[a-z][a-z-]+/g) ?? []).filter((flag) => !known.has(flag)),
    );
    assert.deepEqual(unknown, []);
  });

  it('called reasons are reasons of a policy, and all of them are on the page', () => {
    const page = proseOf('docs/guide/policies.md').replaceAll('\n', ' ');
    const listed = new Set(
      [...page.matchAll(/\breasons?:? (`[^.#|]*)/gi)].flatMap(([, text = '']) =>
        [...text.matchAll(/`([a-z_]+)`/g)].map((match) => match[1] ?? ''),
      ),
    );
    assert.deepEqual([...listed].sort(), [...reasonsInCode()].sort());
  });

  it('in the table of headers are the headers of the contract', () => {
    const rows = tableRows(proseOf('docs/guide/first-route.md')).map(([first = '']) =>
      first.replaceAll('`', ''),
    );
    const named = rows.filter((name) => name.startsWith('x-vllm-router-'));
    assert.deepEqual(named, [...EXPLAIN_HEADERS]);
  });
});

/** Every reason that a policy can give. */
function reasonsInCode(): Set<string> {
  const source = globSync('src/routing/policies/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  const given = source.match(/reason: [^}\n]*|chosen\(.*\);|\? '[a-z_]+' : '[a-z_]+'/g) ?? [];
  return new Set(given.flatMap((text) => [...text.matchAll(/'([a-z_]+)'/g)].map((match) => match[1] ?? '')));
}
