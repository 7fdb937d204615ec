import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { normalisePath, pathOf } from '../../http/normalise-path.ts';
import { canonicalTarget, matchEndpoint, ROUTES } from './endpoints.ts';

fc.configureGlobal({ seed: 7 });

/** Class of the endpoint that a path leads to, as the request path reads it. */
function classOf(path: string, method = 'POST'): string {
  const match = matchEndpoint(method, normalisePath(path));
  return match.kind === 'reserved' ? 'reserved' : match.endpoint.class;
}

function routeOf(method: string, path: string): string {
  return matchEndpoint(method, normalisePath(path)).endpoint.route;
}

const INFERENCE = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
  '/v1/messages/count_tokens',
  '/v1/rerank',
  '/rerank',
  '/v2/rerank',
  '/v1/score',
  '/score',
  '/classify',
  '/pooling',
  '/tokenize',
  '/detokenize',
  '/generate',
  '/inference/v1/generate',
  '/v1/chat/completions/batch',
  '/v2/embed',
  '/generative_scoring',
  '/invocations',
  '/v1/chat/completions/render',
  '/v1/completions/render',
  '/v1/responses/render',
  '/v1/messages/render',
  '/v1/chat/completions/derender',
  '/v1/completions/derender',
];
const AUDIO = ['/v1/audio/transcriptions', '/v1/audio/translations'];
const OPERATOR = [
  '/sleep',
  '/wake_up',
  '/pause',
  '/resume',
  '/collective_rpc',
  '/update_weights',
  '/init_weight_transfer_engine',
  '/reset_prefix_cache',
  '/reset_mm_cache',
  '/reset_encoder_cache',
  '/server_info',
  '/scale_elastic_ep',
  '/abort_requests',
  '/start_profile',
  '/stop_profile',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/metrics',
  '/metrics/',
  '/docs',
  '/docs/oauth2-redirect',
  '/redoc',
  '/is_sleeping',
  '/is_paused',
  '/get_world_size',
  '/init_weights_update_group',
  '/fault_tolerance',
  '/fault_tolerance/fault',
  '/inference/v1/abort_requests',
  '/openapi.json',
];
const RESERVED = [
  '/workers',
  '/workers/http%3A%2F%2Fw1%3A8000',
  '/workers/http://w1:8000',
  '/admin',
  '/admin/decisions',
];

for (const path of INFERENCE) {
  test(`POST ${path} is inference, read as JSON, retried in full`, () => {
    const { endpoint, kind } = matchEndpoint('POST', path);
    assert.equal(kind, 'endpoint');
    assert.equal(endpoint.class, 'inference');
    assert.equal(endpoint.body, 'json');
    assert.equal(endpoint.retry, 'full');
    assert.ok(endpoint.prompt);
    assert.equal(endpoint.dialect, path.startsWith('/v1/messages') ? 'anthropic' : 'openai');
    assert.ok(ROUTES.includes(endpoint.route));
  });
}

for (const path of AUDIO) {
  test(`POST ${path} is inference, read as a form, retried in full`, () => {
    const { endpoint } = matchEndpoint('POST', path);
    assert.deepEqual([endpoint.class, endpoint.body, endpoint.retry], ['inference', 'form', 'full']);
  });
}

for (const [method, path, route, retry] of [
  ['GET', '/v1/responses/resp_1', '/v1/responses/{id}', 'full'],
  ['DELETE', '/v1/responses/resp_1', '/v1/responses/{id}', 'connect'],
  ['POST', '/v1/responses/resp_1/cancel', '/v1/responses/{id}/cancel', 'connect'],
  ['GET', '/v1/responses/resp_1/input_items', '/v1/responses/{id}/input_items', 'full'],
] as const) {
  test(`${method} ${path} names a stored resource`, () => {
    const match = matchEndpoint(method, path);
    assert.ok(match.kind === 'endpoint');
    assert.equal(match.id, 'resp_1');
    assert.deepEqual(
      [match.endpoint.route, match.endpoint.retry, match.endpoint.resource],
      [route, retry, 'by_id'],
    );
  });
}

test('a template’s id is one segment that is there', () => {
  assert.equal(routeOf('GET', '/v1/responses/'), 'unmatched');
  assert.equal(routeOf('GET', '/v1/responses/a/b'), 'unmatched');
  assert.equal(routeOf('GET', '/v1/responses/a/cancel'), 'unmatched');
});

test('another method of an inference path is the worker’s to refuse, of a local path ours', () => {
  assert.equal(routeOf('GET', '/v1/chat/completions'), 'unmatched');
  assert.equal(matchEndpoint('POST', '/health').kind, 'wrong_method');
  assert.equal(matchEndpoint('HEAD', '/health').kind, 'endpoint');
});

test('what is in no row is proxied; only GET and HEAD are retried in full', () => {
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const { endpoint } = matchEndpoint(method, '/v1/something/new');
    assert.deepEqual([endpoint.route, endpoint.class, endpoint.body], ['unmatched', 'inference', 'opaque']);
    assert.equal(endpoint.retry, method === 'GET' || method === 'HEAD' ? 'full' : 'connect');
  }
});

for (const path of OPERATOR) {
  test(`${path} is for operators, whatever the method`, () => {
    for (const method of ['GET', 'POST', 'OPTIONS', 'PUT']) assert.equal(classOf(path, method), 'operator');
  });
}

/** What a vLLM 0.32 in development mode says it serves. */
const SERVED = readFileSync(new URL('../../../test/data/vllm-0.32-routes.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .flatMap((line) => {
    const [, path = '', methods = ''] = /^(\S+), Methods: (.+)$/.exec(line) ?? [];
    return methods.split(', ').map((method) => ({ method, path: path.replace(/\{\w+\}/, 'resp_1') }));
  });

test('every route of vLLM has a row, or is known to need none', () => {
  assert.ok(SERVED.length > 60);
  const rowless = SERVED.filter(({ method, path }) => routeOf(method, path) === 'unmatched');
  // Harmless and without prompts; and an API of which nothing is known but its name.
  assert.deepEqual([...new Set(rowless.map(({ path }) => path))].sort(), ['/load', '/ping', '/v1/systemone']);
});

test('what changes or reveals a vLLM is for operators, and nothing else', () => {
  const dangerous =
    /reset|sleep|wake|pause|resume|weight|rpc|_info|size|elastic|abort|metrics|docs|redoc|openapi|sources|memory/;
  for (const { method, path } of SERVED)
    assert.equal(classOf(path, method) === 'operator', dangerous.test(path), path);
});

test('a path of the table goes on in its own spelling, whatever the method; others as they came', () => {
  const target = (method: string, written: string): string => {
    const path = normalisePath(pathOf(written));
    return canonicalTarget(matchEndpoint(method, path), path, written);
  };
  for (const method of ['GET', 'POST', 'PUT', 'OPTIONS']) {
    for (const written of [
      '//v1/chat/completions',
      '/v1/chat/completions/',
      '/v1/chat/completions//',
      '/v1//chat/./completions',
      '/x/../v1/chat/completions',
      '/v1/chat%2Fcompletions',
    ])
      assert.equal(target(method, `${written}?a=%2F/&b=//`), '/v1/chat/completions?a=%2F/&b=//', written);
    assert.equal(target(method, '//v1/responses/resp_1/'), '/v1/responses/resp_1');
    assert.equal(target(method, '/sleep/?level=1'), '/sleep?level=1');
    assert.equal(target(method, '//reset_prefix_cache/'), '/reset_prefix_cache');
    assert.equal(target(method, '/v1/responses/resp_1/cancel/'), '/v1/responses/resp_1/cancel');
    for (const other of ['//v1/new/', '/v1/new%2Fthing', '/v1/responses/a%20b/', '/docs//x/'])
      assert.equal(target(method, other), other);
  }
});

test('nothing under /workers and /admin is ever proxied', () => {
  for (const path of RESERVED) assert.equal(classOf(path), 'reserved');
});

test('names that only look alike are not guarded', () => {
  for (const path of ['/sleeping', '/adminx', '/workers2', '/docs2', '/v1/sleep', '/metricsx', '/reset']) {
    assert.equal(classOf(path), 'inference', path);
  }
});

for (const disguise of [
  '//sleep',
  '/sleep/',
  '/sleep//',
  '/./sleep',
  '/x/../sleep',
  '/x/y/../../sleep',
  '/%73leep',
  '/%73%6c%65%65%70',
  '/%2573leep',
  '/%252573leep',
  '/%2Fsleep',
  '/x%2F..%2Fsleep',
  '/x/%2e%2e/sleep',
  '/x/%252e%252e/sleep',
  '/%2e/sleep',
  '/.%2Fsleep',
  '/\\sleep',
  '/x\\..\\sleep',
  '/%5Csleep',
  '/sleep%2F',
]) {
  test(`${disguise} is /sleep`, () => {
    assert.equal(normalisePath(disguise), '/sleep');
    assert.equal(classOf(disguise), 'operator');
  });
}

test('a path without disguise is itself', () => {
  for (const path of ['/', ...INFERENCE, ...AUDIO, '/v1/models/org/name-7B.v2_x'])
    assert.equal(normalisePath(path), path);
});

/** Ways to write one character of a path. */
const spelling = (char: string) => {
  const hex = char.charCodeAt(0).toString(16).padStart(2, '0');
  return fc.constantFrom(char, char, `%${hex}`, `%${hex.toUpperCase()}`, `%25${hex}`);
};
test('what climbs above the root is told from what stays below it', () => {
  for (const path of [
    '/..',
    '/../sleep',
    '/x/../../sleep',
    '/%2e%2e/sleep',
    '/..%2Fsleep',
    '/..\\sleep',
    '/../x/../../y',
  ]) {
    assert.equal(matchEndpoint('GET', normalisePath(path)).kind, 'outside', path);
  }
  for (const path of ['/x/..', '/x/../y', '/..x', '/.../y', '/a/b/../..']) {
    assert.equal(matchEndpoint('GET', normalisePath(path)).kind, 'endpoint', path);
  }
});

const SLASHES = ['/', '//', '/./', '/x/../', '%2F', '%2f', '/%2e/', '/x%2F%2E%2E/', '\\'];
const slash = fc.constantFrom(...SLASHES);

test('no spelling of a guarded path gets past the guard', () => {
  const disguised = fc
    .constantFrom(...OPERATOR.filter((path) => !path.endsWith('/')), '/workers/x', '/admin/x')
    .chain((path) =>
      fc.tuple(
        fc.constant(path),
        fc.tuple(...[...path.slice(1)].map((char) => (char === '/' ? slash : spelling(char)))),
        slash,
        fc.constantFrom('', '/', '/.', '%2F'),
      ),
    );
  fc.assert(
    fc.property(disguised, ([path, parts, start, end]) => {
      // A request target begins with a slash as such.
      const written = `/${start === '/' ? '' : start}${parts.join('')}${end}`;
      assert.equal(normalisePath(written), path, written);
      assert.match(classOf(written), /^(operator|reserved)$/);
    }),
    { numRuns: 500 },
  );
});

test('normalising twice changes nothing more, and never throws', () => {
  const odd = fc
    .array(fc.constantFrom('/', '%', '%2', '%2f', '%25', '..', '.', 'a', '\\', '%00', '%ff', 'é', ';', '%2e'))
    .map((parts) => `/${parts.join('')}`);
  fc.assert(
    fc.property(odd, (path) => {
      const once = normalisePath(path);
      assert.ok(once.startsWith('/'));
      // More than three layers of encoding are left as they are.
      if (!once.includes('%')) assert.equal(normalisePath(once), once);
    }),
    { numRuns: 500 },
  );
});

test('a long path is read in time that grows with its length', () => {
  const path = `${'/a'.repeat(8_000)}/%`;
  assert.equal(normalisePath(path), path);
  assert.equal(normalisePath('/%25'.repeat(8_000)), '/%'.repeat(8_000));
});
