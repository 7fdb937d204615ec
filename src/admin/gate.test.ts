import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EdgeRequest } from '../http/edge-request.ts';
import { admit } from './gate.ts';

function request(headers: Record<string, string>, remoteAddress = '127.0.0.1'): EdgeRequest {
  // The two members that the gate reads.
  return { rawHeaders: Object.entries(headers).flat(), socket: { remoteAddress } } as unknown as EdgeRequest;
}

function verdict(key: string | undefined, headers: Record<string, string>, peer?: string): string {
  const result = admit(key, request(headers, peer));
  return result.kind === 'admitted' ? result.who : result.code;
}

describe('the gate with an admin key', () => {
  it('opens to the key, from anywhere, in either header', () => {
    for (const headers of [
      { 'x-admin-key': 'secret' },
      { authorization: 'Bearer secret' },
      { authorization: 'bearer   secret' },
      { 'x-admin-key': 'wrong', authorization: 'Bearer secret' },
    ])
      assert.equal(verdict('secret', headers, '203.0.113.9'), 'admin_key');
  });

  it('opens to nothing else, not even from this machine', () => {
    for (const headers of [
      {},
      { host: 'localhost' },
      { 'x-admin-key': 'secret2' },
      { 'x-admin-key': '' },
      { authorization: 'secret' },
      { authorization: 'Basic secret' },
      { 'x-api-key': 'secret' },
      { cookie: 'secret' },
    ])
      assert.equal(verdict('secret', headers), 'UNAUTHORIZED', JSON.stringify(headers));
  });
});

describe('the gate without an admin key', () => {
  it('opens to this machine', () => {
    for (const peer of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])
      assert.equal(verdict(undefined, { host: 'localhost:30000' }, peer), 'loopback');
    for (const host of ['localhost', '127.0.0.1:30000', '[::1]:30000'])
      assert.equal(verdict(undefined, { host }), 'loopback', host);
    assert.equal(verdict(undefined, {}), 'loopback');
  });

  it('refuses others, whatever key they bring', () => {
    for (const peer of ['10.0.0.1', '192.168.1.2', '::2', '2001:db8::1', '128.0.0.1', '::ffff:10.0.0.1'])
      assert.equal(
        verdict(undefined, { host: 'localhost', 'x-admin-key': 'undefined' }, peer),
        'FORBIDDEN',
        peer,
      );
  });

  it('does not take the clients of a proxy on this machine for local ones', () => {
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-host'])
      assert.equal(verdict(undefined, { host: 'localhost', [name]: 'x' }), 'FORBIDDEN', name);
  });

  it('does not serve web pages of others in a browser on this machine', () => {
    const host = 'localhost:30000';
    assert.equal(verdict(undefined, { host, origin: 'https://evil.example' }), 'FORBIDDEN');
    assert.equal(verdict(undefined, { host, origin: 'null' }), 'FORBIDDEN');
    assert.equal(verdict(undefined, { host, origin: 'http://localhost:4000' }), 'FORBIDDEN');
    assert.equal(verdict(undefined, { host, origin: 'http://localhost:30000' }), 'loopback');
    const rebound = 'evil.example:30000';
    assert.equal(verdict(undefined, { host: rebound, origin: `http://${rebound}` }), 'FORBIDDEN');
    assert.equal(verdict(undefined, { host: rebound }), 'FORBIDDEN');
    assert.equal(verdict(undefined, { host: '127.0.0.1.evil.example' }), 'FORBIDDEN');
  });
});
