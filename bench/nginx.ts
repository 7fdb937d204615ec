import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { openFileLimit, spawnOn, TARGET_CORE } from './cores.ts';
import { NGINX, statusOf, stopChild, until, type Target, type TargetPlace } from './targets.ts';

const PLACES = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'];

/** nginx as the usual reverse proxy for these workers; installed from the distribution where that is possible. */
export async function startNginx(place: TargetPlace): Promise<Target | { readonly missing: string }> {
  const program = findNginx() ?? (place.installNginx ? install() : undefined);
  if (program === undefined)
    return { missing: 'nginx is not installed, and could not be (apt-get as root would be needed)' };
  const dir = join(place.dir, 'nginx');
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const config = join(dir, 'nginx.conf');
  writeFileSync(config, configFor(port, place.workerPorts, dir));
  const log = openSync(join(dir, 'output.log'), 'w');
  const child = spawnOn(TARGET_CORE, program, ['-c', config, '-p', dir], { stdio: ['ignore', log, log] });
  const { pid } = child;
  if (pid === undefined) return { missing: `${program} did not start` };
  const target = { name: NGINX, ports: [port], pid, stop: () => stopChild(child) };
  try {
    await until('nginx to answer', async () => {
      if (child.exitCode !== null)
        throw new Error(`nginx stopped with exit code ${child.exitCode}; see ${dir}`);
      return (await statusOf(port, '/health')) === 200;
    });
  } catch (error) {
    await target.stop();
    return { missing: error instanceof Error ? error.message : String(error) };
  }
  return target;
}

function findNginx(): string | undefined {
  return PLACES.find((path) => existsSync(path));
}

function install(): string | undefined {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return undefined;
  process.stderr.write('installing nginx (once) ...\n');
  const apt = (...args: string[]): boolean =>
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: 'ignore',
      timeout: 120_000,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    }).status === 0;
  apt('update');
  return apt('install', '-y', '--no-install-recommends', 'nginx-light') ? findNginx() : undefined;
}

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

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      // The address of a TCP listener is never a string or null.
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}
