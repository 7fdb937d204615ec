import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { authority } from '../../../test/support/self-signed.ts';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-tls-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const ca = authority();
const server = ca.issue();
const FILES: Record<string, string> = {
  'ca.pem': ca.cert,
  'server.crt': server.cert + ca.cert,
  'server.key': server.key,
  'upside-down.crt': ca.cert + server.cert,
  'other.key': ca.issue().key,
  'old.crt': '',
  'empty.pem': '',
  'text.pem': 'sk-hidden, not a certificate\n',
  'broken.pem': '-----BEGIN CERTIFICATE-----\nc2staGlkZGVu\n-----END CERTIFICATE-----\n',
  'locked.key': generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'p' },
  }).privateKey,
};
const old = ca.issue({ expired: true });
FILES['old.crt'] = old.cert;
FILES['old.key'] = old.key;
for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content);

function load(yaml: string, more: { lenient?: boolean } = {}): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), `worker_urls: [https://a:1, https://b:1]\n${yaml}\n`);
  return loadConfig({ argv: ['--config-file=r.yaml'], env: {}, cwd: folder, ...more });
}

const PAIR = 'ssl_certfile: server.crt\nssl_keyfile: server.key\n';

describe('certificate files that stop the start', () => {
  const cases: [yaml: string, ...problems: string[]][] = [
    ['ssl_certfile: server.crt', 'r.yaml:2:15: ssl_certfile: needs ssl_keyfile beside it'],
    ['ssl_keyfile: server.key', 'r.yaml:2:14: ssl_keyfile: needs ssl_certfile beside it'],
    [
      'ssl_certfile: no.crt\nssl_keyfile: no.key',
      'r.yaml:2:15: ssl_certfile: no.crt cannot be read: there is no such file',
      'r.yaml:3:14: ssl_keyfile: no.key cannot be read: there is no such file',
    ],
    [
      'ssl_certfile: server.crt\nssl_keyfile: other.key',
      'r.yaml:3:14: ssl_keyfile: other.key is not the key of the first certificate in server.crt',
    ],
    [
      'ssl_certfile: upside-down.crt\nssl_keyfile: server.key',
      'r.yaml:3:14: ssl_keyfile: server.key is not the key of the first certificate in upside-down.crt',
    ],
    [
      'ssl_certfile: server.key\nssl_keyfile: server.crt',
      'r.yaml:2:15: ssl_certfile: no certificate in PEM in server.key',
      'r.yaml:3:14: ssl_keyfile: server.crt is no private key in PEM',
    ],
    [
      'ssl_certfile: empty.pem\nssl_keyfile: text.pem',
      'r.yaml:2:15: ssl_certfile: no certificate in PEM in empty.pem',
      'r.yaml:3:14: ssl_keyfile: text.pem is no private key in PEM',
    ],
    [
      'ssl_certfile: broken.pem\nssl_keyfile: locked.key',
      'r.yaml:2:15: ssl_certfile: a certificate in broken.pem cannot be read',
      'r.yaml:3:14: ssl_keyfile: locked.key has a passphrase: give it without one',
    ],
    [`${PAIR}ssl_cert_reqs: required`, 'r.yaml:4:16: ssl_cert_reqs: required needs ssl_ca_certs'],
    [
      `${PAIR}ssl_ca_certs: ca.pem`,
      'r.yaml:4:15: ssl_ca_certs: has no effect while ssl_cert_reqs is none: make that optional or required',
    ],
    [
      'ssl_ca_certs: ca.pem\nssl_cert_reqs: required',
      'r.yaml:2:15: ssl_ca_certs: has no effect without ssl_certfile and ssl_keyfile',
      'r.yaml:3:16: ssl_cert_reqs: has no effect without ssl_certfile and ssl_keyfile',
    ],
    [
      `${PAIR}ssl_cert_reqs: required\nssl_ca_certs: text.pem`,
      'r.yaml:5:15: ssl_ca_certs: no certificate in PEM in text.pem',
    ],
    [
      'worker_tls: {cert_file: server.crt}',
      'r.yaml:2:25: worker_tls.cert_file: needs worker_tls.key_file beside it',
    ],
    [
      'worker_tls: {ca_file: no.pem}',
      'r.yaml:2:23: worker_tls.ca_file: no.pem cannot be read: there is no such file',
    ],
    [
      'worker_tls: {ca_file: ca.pem, insecure_skip_verify: true}',
      'r.yaml:2:53: worker_tls.insecure_skip_verify: expected false beside ca_file, which would have no effect',
    ],
    [
      'worker_tls: {server_name: 10.0.0.1}',
      'r.yaml:2:27: worker_tls.server_name: expected a host name, not an address, got "10.0.0.1"',
    ],
    [
      'worker_tls_overrides: {"https://a:1": {ca_file: text.pem}}',
      'r.yaml:2:49: worker_tls_overrides.https://a:1.ca_file: no certificate in PEM in text.pem',
    ],
    [
      'worker_tls_overrides: {"https://a:1": {}, "HTTPS://a:1/": {}}',
      'r.yaml:2:59: worker_tls_overrides.HTTPS://a:1/: expected one entry for https://a:1',
    ],
    [
      'worker_tls_overrides: {"https://a:1": {cafile: ca.pem}}',
      'r.yaml:2:39: worker_tls_overrides.https://a:1: unknown key cafile; did you mean ca_file?',
    ],
  ];
  for (const [yaml, ...problems] of cases) {
    it(problems.join('; '), () => {
      assert.deepEqual(lines(load(yaml)), problems);
    });
  }

  it('are remarks where they are missing and the configuration is only looked at, problems where they are wrong', () => {
    const { notices, settings } = good(
      load('ssl_certfile: no.crt\nssl_keyfile: no.key\nworker_tls: {ca_file: no.pem}', { lenient: true }),
    );
    assert.equal(settings.listen.tls, undefined);
    assert.deepEqual(notices, [
      'ssl_certfile: no.crt cannot be read: there is no such file',
      'ssl_keyfile: no.key cannot be read: there is no such file',
      'worker_tls.ca_file: no.pem cannot be read: there is no such file',
    ]);
    assert.equal(lines(load('ssl_certfile: text.pem\nssl_keyfile: server.key', { lenient: true })).length, 1);
  });

  it('are told from wrong ones, for who wants to try again later', () => {
    const missing = load('worker_tls: {ca_file: no.pem}');
    assert.equal(missing.kind === 'error' && missing.problems[0]?.unreadable, true);
    const wrong = load('worker_tls: {ca_file: text.pem}');
    assert.equal(wrong.kind === 'error' && wrong.problems[0]?.unreadable, undefined);
  });
});

describe('certificates', () => {
  it('of the listener are read with everything that belongs to them', () => {
    const { settings, files } = good(
      load(`${PAIR}ssl_ca_certs: ca.pem\nssl_cert_reqs: optional\nssl_min_version: TLSv1.3`),
    );
    const { expiresAt, ...tls } = settings.listen.tls ?? {};
    assert.deepEqual(tls, {
      cert: FILES['server.crt'],
      key: server.key,
      clientCa: ca.cert,
      clientCerts: 'optional',
      minVersion: 'TLSv1.3',
    });
    assert.ok(Math.abs((expiresAt ?? 0) - Date.now() - 86_400_000) < 60_000);
    assert.deepEqual(
      files,
      ['r.yaml', 'server.crt', 'server.key', 'ca.pem'].map((name) => join(folder, name)),
    );
  });

  it('that have expired are told of, but may be what somebody wants', () => {
    const yaml =
      'ssl_certfile: old.crt\nssl_keyfile: old.key\nworker_tls: {cert_file: old.crt, key_file: old.key}';
    const { notices } = good(load(yaml));
    assert.equal(notices.length, 2);
    assert.match(notices[0] ?? '', /^ssl_certfile: the certificate expired on \d{4}-\d\d-\d\d: clients will/);
    assert.match(notices[1] ?? '', /^worker_tls.cert_file: the certificate expired on .*: workers will/);
  });

  it('of workers are not checked only if somebody says so, which is told', () => {
    const { notices, settings } = good(load('worker_tls: {insecure_skip_verify: true}'));
    assert.deepEqual(notices, ['worker_tls.insecure_skip_verify: certificates of workers are not checked']);
    assert.equal(settings.workerTls.get('https://a:1')?.verify, false);
    assert.equal(good(load('port: 1')).settings.workerTls.get('https://a:1'), undefined);
  });

  it('for single workers stand in the place of all of worker_tls', () => {
    const yaml = `worker_tls: {ca_file: ca.pem, server_name: engine}
worker_tls_overrides:
  https://b: {cert_file: server.crt, key_file: server.key}
  https://c:1: {}`;
    const { settings, notices } = good(load(yaml));
    const plain = { ca: undefined, cert: undefined, key: undefined, serverName: undefined, verify: true };
    assert.deepEqual(settings.workerTls.get('https://a:1'), { ...plain, ca: ca.cert, serverName: 'engine' });
    assert.deepEqual(settings.workerTls.get('https://b:1'), {
      ...plain,
      cert: FILES['server.crt'],
      key: server.key,
    });
    assert.deepEqual(settings.workerTls.get('https://c:1/x'), plain);
    assert.deepEqual(notices, ['worker_tls_overrides: no worker has the URL https://c:1']);
  });
});

describe('a listener that everybody reaches', () => {
  const notices = (yaml: string): readonly string[] => good(load(yaml)).notices;

  it('and that asks for nothing is told of', () => {
    for (const host of ['0.0.0.0', '"::"', '10.0.0.1', 'router.example'])
      assert.match(
        notices(`host: ${host}`).join('\n'),
        /^host: everybody who reaches .* --insecure says that/,
      );
    assert.equal(notices(`host: 0.0.0.0\n${PAIR}`).length, 1);
    const optional = 'ssl_ca_certs: ca.pem\nssl_cert_reqs: optional';
    assert.equal(notices(`host: 0.0.0.0\n${PAIR}${optional}`).length, 1);
  });

  it('is not told of where that is intended, where something is asked for, and on the loopback', () => {
    for (const yaml of [
      'host: 0.0.0.0\ninsecure: true',
      'host: 0.0.0.0\ninbound_api_key: k',
      'host: 0.0.0.0\napi_keys: [{name: a, key: k}]',
      'host: 0.0.0.0\napi_key_validation_urls: [http://auth]',
      `host: 0.0.0.0\n${PAIR}ssl_ca_certs: ca.pem\nssl_cert_reqs: required`,
      'host: 127.0.0.1',
      'host: 127.0.0.2',
      'host: localhost',
      'host: "::1"',
      'port: 1',
    ])
      assert.deepEqual(notices(yaml), [], yaml);
  });
});
