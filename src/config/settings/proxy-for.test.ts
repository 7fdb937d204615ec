import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor, proxyOf } from './proxy-for.ts';

const TO = 'https://api.example.com/v1';
const PROXY = { HTTPS_PROXY: 'http://proxy.internal:3128' };
const AT = { host: 'proxy.internal', port: 3128, authorization: undefined };

test('what is encrypted goes through HTTPS_PROXY, in small letters first', () => {
  assert.deepEqual(proxyOf(TO, PROXY), AT);
  assert.deepEqual(proxyOf(TO, { https_proxy: 'other:1', ...PROXY }), { ...AT, host: 'other', port: 1 });
  assert.equal(proxyOf('http://api.example.com/v1', PROXY), undefined);
  assert.equal(proxyOf(TO, { HTTPS_PROXY: ' ' }), undefined);
  assert.equal(proxyOf('unix:///run/p.sock', PROXY), undefined);
});

test('its user and password are presented to it', () => {
  assert.equal(
    proxyOf(TO, { HTTPS_PROXY: 'http://u%40x:p%3A@h:8' })?.authorization,
    `Basic ${Buffer.from('u@x:p:').toString('base64')}`,
  );
});

test('NO_PROXY exempts hosts, ends of hosts, ports and everything', () => {
  const through = (list: string, to = TO): boolean =>
    proxyFor(to, { ...PROXY, NO_PROXY: list }).kind === 'proxy';
  for (const list of [
    '*',
    'api.example.com',
    '.example.com',
    '*.example.com',
    'x, example.com',
    'example.com:443',
  ])
    assert.equal(through(list), false, list);
  for (const list of ['', 'ample.com', 'api.example.com.evil', 'example.com:8443', 'other.com', ':443', '.'])
    assert.equal(through(list), true, list);
  assert.equal(through('[::1]', 'https://[::1]:9/v1'), false);
  assert.equal(through('127.0.0.1', 'https://127.0.0.1:9'), false);
});

test('a kind of proxy that is not there is no reason to go without one', () => {
  for (const given of ['socks5://h:1', 'https://h:1', 'http://%zz@h:1'])
    assert.equal(proxyFor(TO, { HTTPS_PROXY: given }).kind, 'bad', given);
});
