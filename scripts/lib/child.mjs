// Starting other programs: on a chosen Node, with their exit status and our signals passed on.
import { spawn } from 'node:child_process';
import { delimiter, dirname } from 'node:path';

/**
 * The environment of a child that runs on `node`: that Node first on PATH (npm and every `#!/usr/bin/env node` follow
 * it), and npm's own notes about the Node that started us replaced.
 * @param {string} node path of a node executable
 * @returns {NodeJS.ProcessEnv}
 */
export function environmentFor(node) {
  const env = { ...process.env };
  const pathName = Object.keys(env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH';
  env[pathName] = [dirname(node), env[pathName]].filter(Boolean).join(delimiter);
  env['NODE'] = node;
  env['npm_node_execpath'] = node;
  return env;
}

/**
 * Runs a program in the foreground: same terminal, our signals, its exit status.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>} the exit status as a shell would give it (128 + n after signal n)
 */
export function runInForeground(file, args, options = {}) {
  const child = spawn(file, args, { stdio: 'inherit', ...options });
  const pass = (signal) => child.kill(signal);
  // Ctrl-C on a terminal reaches the child by itself; a second one from here would look like "stop at once".
  const passInterrupt = (signal) => process.stdin.isTTY || process.stderr.isTTY || pass(signal);
  process.on('SIGINT', passInterrupt).on('SIGTERM', pass).on('SIGHUP', pass);
  const watch = watchParent(() => pass('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      process.off('SIGINT', passInterrupt).off('SIGTERM', pass).off('SIGHUP', pass);
      clearInterval(watch);
      resolve(code ?? 128 + signalNumber(signal));
    });
  });
}

/** npm runs scripts in a shell that passes no signal on: where that shell is gone, npm was told to stop. */
function watchParent(onGone) {
  if (process.env['npm_lifecycle_event'] === undefined) return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    onGone();
  }, 500);
  return watch;
}

/**
 * Runs a program and keeps what it prints.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<{ status: number, output: string }>} stdout and stderr in the order of arrival
 */
export function runQuietly(file, args, options = {}) {
  const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ status: code ?? 128 + signalNumber(signal), output }));
  });
}

function signalNumber(signal) {
  return { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }[signal] ?? 0;
}
