import type { ChildProcess } from 'node:child_process';
import { get, request } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';

/** What a target is started with: neither the user's own settings nor a proxy may take part. */
export function environment(): NodeJS.ProcessEnv {
  const notOurs = /^(?:VLLM_ROUTER_|NODE_OPTIONS$|.*_proxy$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !notOurs.test(name)));
}

let logs = 0;

/** Each process has a log of its own, also the second one of a name. */
export function logName(target: string): string {
  return `${++logs}-${target.replaceAll(/[^\w.-]/g, '_')}.log`;
}

export function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    const kill = setTimeout(() => child.kill('SIGKILL'), 5_000);
    child.once('exit', () => {
      clearTimeout(kill);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

const START_MS = 20_000;
const POLL_MS = 50;

export async function until(what: string, holds: () => Promise<boolean>, limitMs = START_MS): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** 0 when nothing answers. */
export function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', () => {
      resolve(0);
    });
  });
}

/** The same for a chat of one word: some routers call themselves healthy before they know a worker. */
export function statusOfChat(port: number, model: string): Promise<number> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json' };
    request(
      { host: '127.0.0.1', port, path: '/v1/chat/completions', method: 'POST', agent: false, headers },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    )
      .on('error', () => {
        resolve(0);
      })
      .end(JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] }));
  });
}

export function freePort(): Promise<number> {
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
