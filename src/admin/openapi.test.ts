import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LOCAL_PATHS } from '../request/arrive/endpoints.ts';
import { describeApi, LOCAL_ABOUT } from './openapi.ts';
import { ADMIN_ROUTES } from './routes.ts';

describe('the description of the API', () => {
  // A JSON document: looked into freely.
  const api = JSON.parse(JSON.stringify(describeApi(ADMIN_ROUTES, LOCAL_PATHS)));

  it('has every route, each with an id of its own', () => {
    const ids = new Set<string>();
    for (const { method, path } of ADMIN_ROUTES) {
      const operation = api.paths[path]?.[method.toLowerCase()];
      assert.ok(operation, `${method} ${path}`);
      assert.ok(operation.summary.length > 0);
      assert.ok(Object.keys(operation.responses).length > 2);
      ids.add(operation.operationId);
    }
    assert.equal(ids.size, ADMIN_ROUTES.length);
  });

  it('says what every route is about that the router answers by itself', () => {
    assert.deepEqual(Object.keys(LOCAL_ABOUT).sort(), [...LOCAL_PATHS].sort());
    for (const path of LOCAL_PATHS) assert.deepEqual(api.paths[path].get.security, []);
  });

  it('describes bodies, queries and path parameters from the schemas that validate them', () => {
    const add = api.paths['/workers'].post;
    const schema = add.requestBody.content['application/json'].schema;
    assert.deepEqual(schema.required, ['url']);
    assert.equal(schema.additionalProperties, false);
    assert.equal(schema.properties.priority.default, 50);
    assert.equal(schema.properties.bootstrap_port.anyOf[0].minimum, 1);
    assert.deepEqual(schema.properties.worker_type.default, 'regular');
    const names = api.paths['/admin/decisions'].get.parameters.map(
      (parameter: { name: string }) => parameter.name,
    );
    assert.deepEqual(names, ['limit', 'worker', 'model', 'since']);
    const [url] = api.paths['/workers/{url}'].delete.parameters;
    assert.deepEqual([url.name, url.in, url.required], ['url', 'path', true]);
    const [name] = api.paths['/admin/policy'].put.requestBody.content['application/json'].schema.anyOf;
    assert.ok(name.examples.includes('least_work'));
  });

  it('resolves all its references', () => {
    for (const [, name] of JSON.stringify(api).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
      assert.ok(api.components.schemas[name ?? '']);
  });
});
