/** `GET /` says what stands there, to everybody and without a word about this installation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VERSION } from '../../src/config/version.ts';
import type { Fleet } from '../support/fleet.ts';
import { ask } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

function open(fleet: Fleet, path = '/', accept?: string): Promise<Response> {
  return fetch(fleet.url + path, { headers: accept === undefined ? {} : { accept } });
}

test('a program gets text, a browser HTML, neither of them a worker', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const [accept, type] of [
    [undefined, 'text/plain; charset=utf-8'],
    ['application/json', 'text/plain; charset=utf-8'],
    ['text/html;q=0, text/plain', 'text/plain; charset=utf-8'],
    ['TEXT/HTML;q=0.5', 'text/html; charset=utf-8'],
    [BROWSER, 'text/html; charset=utf-8'],
  ] as const) {
    const response = await open(fleet, '/', accept);
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, type], accept);
    assert.equal(response.headers.get('vary'), 'accept');
    const page = await response.text();
    for (const told of [
      '/v1/models',
      '/readiness',
      '/health',
      '/metrics',
      'docs/README.md',
      'vllm-router --help',
    ])
      assert.ok(page.includes(told), `${told} in ${type}`);
  }
  assert.deepEqual(worker.received, []);
});

test('every link of the page leads somewhere', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const page = await (await open(fleet, '/', BROWSER)).text();
  const links = [...page.matchAll(/href="([^"]*)"/g)].map(([, link = '']) => new URL(link, fleet.url));
  assert.ok(links.length > 3);
  for (const link of links.filter(({ origin }) => origin === fleet.url))
    assert.equal((await fetch(link)).status, 200, link.pathname);
});

test('HEAD has the headers of GET and no body', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const got = await open(fleet);
  const head = await fetch(`${fleet.url}/`, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), String((await got.text()).length));
  assert.deepEqual([head.status, await head.text()], [200, '']);
});

test('it needs no key and no worker, and has a route of its own', async () => {
  await using fleet = await startRouter([], { router: { inboundApiKey: 'sk-all' } });
  assert.equal((await open(fleet)).status, 200);
  assert.equal((await open(fleet, '/?from=a-probe')).status, 200);
  assert.match(await fleet.metrics(), /^vllm_router_http_requests_total\{route="\/",method="GET",.*\} 2$/m);
  assert.equal((await open(fleet, '/v1/models')).status, 401);
});

test('it tells no version, worker, model or address, in its body and in its headers', async () => {
  await using worker = await startScriptedWorker(undefined, { models: ['secret-model'], version: '0.32.1' });
  await using fleet = await startRouter([worker]);
  for (const accept of ['*/*', BROWSER]) {
    const response = await open(fleet, '/', accept);
    const told = `${[...response.headers].join('\n')}\n${await response.text()}`;
    for (const secret of [
      VERSION,
      '0.32.1',
      'secret-model',
      '127.0.0.1',
      worker.url.slice(-5),
      String(fleet.port),
    ])
      assert.ok(!told.includes(secret), secret);
  }
});

test('any other method on / is a worker’s to answer, as before', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const response = await ask(
      fleet.port,
      `${method} /?x=1 HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n\r\nbody`,
    );
    assert.equal(response.status, 200);
    const { method: seen, url, body } = worker.last;
    assert.deepEqual([seen, url, body.toString()], [method, '/?x=1', 'body']);
    assert.equal((await fleet.decision(({ http_method: of }) => of === method)).route, 'unmatched');
  }
});
