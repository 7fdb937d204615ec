/** Starting other programs from tests, and waiting on what they print instead of on time. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface Ended {
  /** Exit status, or the signal that ended it. */
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd: string;
  /** Replaces or adds to the environment of the test; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Program {
  readonly child: ChildProcess;
  /** Resolves with the match as soon as stdout and stderr together match; rejects if the program ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves when it has ended, and with it everything it started that can still print. */
  readonly ended: Promise<Ended>;
}

/** Runs to the end. */
export function run(file: string, args: readonly string[], options: ProgramOptions): Promise<Ended> {
  return launch(file, args, options).ended;
}

/** Starts a program that goes on; it is killed when the test ends, with everything it started. */
export function start(
  t: { readonly after: (end: () => Promise<void>) => void },
  file: string,
  args: readonly string[],
  options: ProgramOptions,
): Program {
  const program = launch(file, args, options);
  t.after(async () => {
    const { pid } = program.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Its whole group has ended, as it should.
    }
    await program.ended;
  });
  return program;
}

function launch(file: string, args: readonly string[], options: ProgramOptions): Program {
  // A group of its own, so that what it starts can be ended with it.
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: environment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const check of waiting) check();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    look();
  });
  const ended = once(child, 'close').then((event): Ended => {
    const [code, signal] = event as [number | null, NodeJS.Signals | null];
    return { status: code ?? signal ?? -1, stdout, stderr };
  });
  const printed = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const match = pattern.exec(`${stdout}\n${stderr}`);
        if (match === null) return;
        waiting.delete(check);
        resolve(match);
      };
      waiting.add(check);
      check();
      void ended.then(({ status }) => {
        reject(new Error(`ended (${status}) before it printed ${String(pattern)}:\n${stdout}\n${stderr}`));
      }, reject);
    });
  return { child, printed, ended };
}

/** The environment without npm's and the test runner's notes, which would make a child think it runs inside them. */
function environment(changes: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^npm_/i.test(name) && name !== 'NODE_TEST_CONTEXT' && name !== 'NODE' && name !== 'FAILED_CHECKS',
  );
  const merged = { ...Object.fromEntries(kept), ...changes };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined));
}
