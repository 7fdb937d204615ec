import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AllowedAddresses } from './allowed-addresses.ts';
import { httpUrl, readIpAddress } from './ip-address.ts';

const INTERFACES = [
  { address: '127.0.0.1', cidr: '127.0.0.1/8' },
  { address: '10.1.2.3', cidr: '10.1.2.3/16' },
  { address: 'fd00::3', cidr: 'fd00::3/64' },
  { address: 'fe80::1', cidr: 'fe80::1/64' },
  { address: '10.9.9.9', cidr: null },
];
const OWN_PORTS = [30_000, 29_000];

function verdict(text: string, allow: readonly string[] = []): string {
  const address = readIpAddress(text);
  if (!address) return 'bad_address';
  return new AllowedAddresses(allow, INTERFACES, OWN_PORTS).problemOf(address) ?? 'fine';
}

describe('an address that a worker says', () => {
  it('may be on this machine and in the networks that it is in', () => {
    for (const text of ['127.0.0.1:8000', '127.8.8.8:1024', '[::1]:8000', '::1:8000', '10.1.255.255:8000'])
      assert.equal(verdict(text), 'fine', text);
    assert.equal(verdict('[fd00::ffff]:65535'), 'fine');
    for (const text of ['10.2.0.1:8000', '8.8.8.8:8000', '[fd00:0:0:1::1]:8000', '10.9.9.9:8000'])
      assert.equal(verdict(text), 'not_allowed', text);
  });

  it('may be in the networks that are configured, and then only there', () => {
    const allow = ['10.2.0.0/16', 'fd11::/16'];
    assert.deepEqual(
      ['10.2.0.1:8000', 'fd11::1:8000', '10.1.0.1:8000', '127.0.0.1:8000'].map((text) =>
        verdict(text, allow),
      ),
      ['fine', 'fine', 'not_allowed', 'not_allowed'],
    );
  });

  it('is never one of a system service, of the cloud, or of many, however wide the configuration', () => {
    const anywhere = ['0.0.0.0/0', '::/0'];
    const wrong = {
      low_port: ['10.1.2.4:1023', '10.1.2.4:22', '[fd00::4]:80'],
      special_address: [
        ...['169.254.169.254:8080', '0.0.0.0:8000', '224.0.0.1:8000', '255.255.255.255:8000'],
        ...['[fe80::5]:8000', '[ff02::1]:8000', '[::]:8000', '[::ffff:169.254.169.254]:8000'],
        ...['[::ffff:10.1.2.4]:8000', '[64:ff9b::a9fe:a9fe]:8000'],
      ],
      bad_address: [
        ...['metadata.internal:8000', 'localhost:8000', '10.1.2.4', '10.1.2.4:', '10.1.2.4:0', ':8000', ''],
        ...['10.1.2.4:70000', '10.1.2.4:08000', '10.1.2.4:8000/x', '010.1.2.4:8000', '167838212:8000'],
        ...['[fe80::5%eth0]:8000', 'user@10.1.2.4:8000', '[10.1.2.4]:8000', '10.1.2.4:8e3', '10.1.2.4:-1'],
        ...['10.1.2.4:8000\r\nx: y', ' 10.1.2.4:8000'],
      ],
    };
    for (const [problem, texts] of Object.entries(wrong))
      for (const text of texts) assert.equal(verdict(text, anywhere), problem, text);
  });

  it('is not that of the router itself, under none of its addresses', () => {
    for (const text of ['127.0.0.1:30000', '10.1.2.3:29000', '[fd00::3]:30000', '127.1.1.1:30000'])
      assert.equal(verdict(text, ['0.0.0.0/0', '::/0']), 'own_address', text);
    assert.equal(verdict('10.1.2.4:30000'), 'fine');
  });

  it('has one spelling as the URL of a worker', () => {
    const urls = ['10.1.2.4:8000', '[FD00:0::4]:8000', 'fd00::4:8000'].map((text) => {
      const address = readIpAddress(text);
      return address && httpUrl(address);
    });
    assert.deepEqual(urls, ['http://10.1.2.4:8000', 'http://[fd00::4]:8000', 'http://[fd00::4]:8000']);
  });
});
