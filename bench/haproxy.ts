import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openFileLimit } from './cores.ts';
import type { UsualProxy } from './usual-proxy.ts';

/** HAProxy as the usual load balancer. */
export const haproxy: UsualProxy = {
  name: 'haproxy',
  debianPackage: 'haproxy',
  places: ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'],
  versionFlag: '-v',
  prepare(port, workers, dir) {
    const config = join(dir, 'haproxy.cfg');
    writeFileSync(config, configFor(port, workers));
    return ['-db', '-f', config];
  },
};

/** One thread, as the router has one; the least loaded worker; a line per request; kept-alive connections for all clients. */
function configFor(port: number, workers: readonly number[]): string {
  const connections = Math.max(1024, Math.floor((openFileLimit() - 128) / 2));
  return `global
  nbthread 1
  maxconn ${connections}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-no-delay
  http-reuse always
  balance leastconn
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 75s
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend workers
backend workers
${workers.map((worker, at) => `  server worker${at} 127.0.0.1:${worker}`).join('\n')}
`;
}
