import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openFileLimit } from './cores.ts';
import type { UsualProxy } from './usual-proxy.ts';

/** nginx as the usual reverse proxy. */
export const nginx: UsualProxy = {
  name: 'nginx',
  debianPackage: 'nginx-light',
  places: ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'],
  versionFlag: '-v',
  prepare(port, workers, dir) {
    const config = join(dir, 'nginx.conf');
    writeFileSync(config, configFor(port, workers, dir));
    return ['-c', config, '-p', dir];
  },
};

/** One process, as the router is one; kept-alive connections to the workers; bodies in memory; nothing held back. */
function configFor(port: number, workers: readonly number[], dir: string): string {
  const connections = Math.max(1024, openFileLimit() - 64);
  return `daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log warn;
events {
  worker_connections ${connections};
}
http {
  access_log ${dir}/access.log combined buffer=4k flush=1s;
  keepalive_timeout 75s;
  keepalive_requests 1000000;
  tcp_nodelay on;
  client_max_body_size 512m;
  client_body_buffer_size 1m;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  upstream workers {
${workers.map((worker) => `    server 127.0.0.1:${worker};`).join('\n')}
    keepalive 1024;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://workers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`;
}
