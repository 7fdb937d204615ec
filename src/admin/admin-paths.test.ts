import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AdminPaths, urlInPath } from './admin-paths.ts';
import { ADMIN_ROUTES } from './routes.ts';

describe('AdminPaths', () => {
  const paths = new AdminPaths({ openApi: true });

  it('knows every route there is', () => {
    for (const { path } of ADMIN_ROUTES)
      assert.equal(paths.match(path.replace('{url}', 'x'))?.path, path.replace('{url}', 'x'));
  });

  it('sees through disguises, and keeps the query', () => {
    for (const [url, path, query] of [
      ['//workers', '/workers', ''],
      ['/%77orkers?x=1#y', '/workers', '?x=1'],
      ['/v1/../admin/stats', '/admin/stats', ''],
      ['http://host/admin/stats?a=/../b', '/admin/stats', '?a=/../b'],
      ['/workers/http%3A%2F%2Fw%3A1/', '/workers/http:/w:1', ''],
      ['/admin#?x', '/admin', ''],
    ] as const)
      assert.deepEqual(paths.match(url), { path, query }, url);
  });

  it('leaves everything else alone, time and again', () => {
    for (const url of ['/v1/chat/completions', '/workersx', '/admin2', '/v1/workers', '/', '/..', '*', ''])
      for (let round = 0; round < 2; round += 1) assert.equal(paths.match(url), undefined, url);
    assert.ok(paths.match('/workers'));
  });

  it('leaves /openapi.json to the workers where their operator routes are open', () => {
    const others = new AdminPaths({ openApi: false });
    assert.equal(others.match('/openapi.json'), undefined);
    assert.ok(others.match('/admin/openapi.json'));
    assert.ok(paths.match('/openapi.json'));
  });
});

describe('urlInPath', () => {
  it('gives the slashes back that a path has lost', () => {
    assert.equal(urlInPath('http:/w:1/prefix@2'), 'http://w:1/prefix@2');
    assert.equal(urlInPath('HTTPS:/w'), 'HTTPS://w');
    assert.equal(urlInPath('unix:/run/w.sock'), 'unix:///run/w.sock');
    assert.equal(urlInPath('w'), 'w');
  });
});
