import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readYaml } from '../config/load/file.ts';
import { loadConfig } from '../config/load/load.ts';
import { sim } from './sim.ts';

/** Runs the command and collects what it says; `meanwhile` runs while the workers do. */
async function run(
  argv: readonly string[],
  meanwhile: (out: string) => Promise<void> = () => Promise.resolve(),
) {
  let out = '';
  let err = '';
  const code = await sim(argv, {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    stop: () => meanwhile(out),
  });
  return { code, out, err };
}

describe('vllm-router sim', () => {
  it('serves until it is told to stop, then frees its ports', async () => {
    let urls: string[] = [];
    const { code, out } = await run(['--count', '2', '--port', '0', '--time-scale', '0'], async (said) => {
      urls = said.match(/(?<=^ {2})http:\/\/127\.0\.0\.1:\d+$/gm) ?? [];
      for (const url of urls) assert.equal((await fetch(`${url}/health`)).status, 200);
    });
    assert.equal(code, 0);
    assert.equal(new Set(urls).size, 2, out);
    await assert.rejects(fetch(`${urls[0] ?? ''}/health`));
  });

  it('says how a router is told of its workers, and what they hand over', async () => {
    const at = 'http://127.0.0.1:PORT';
    for (const [argv, line, flags] of [
      [
        ['--role', 'decode'],
        `${at}, decode over nixl (port PORT)`,
        `--vllm-pd-disaggregation --prefill ... --decode ${at}`,
      ],
      [
        ['--role', 'prefill', '--kv-connector', 'mooncake', '--kv-side-port', '0'],
        `${at}, prefill over mooncake (port PORT)`,
        `--vllm-pd-disaggregation --kv-connector mooncake --prefill ${at} PORT --decode ...`,
      ],
      [
        ['--kv-connector', 'storage'],
        `${at}, prefill and decode over storage (port PORT)`,
        `--worker-urls ${at}`,
      ],
    ] as const) {
      const { code, out } = await run(['--port', '0', ...argv]);
      assert.equal(code, 0);
      const [, worker, routing] = out.replaceAll(/(?<=port |:|\d )\d{4,5}\b/g, 'PORT').split('\n');
      assert.deepEqual([worker, routing], [`  ${line}`, `Route to them: vllm-router ${flags}`]);
    }
  });

  it('says in the words of a file what flags cannot say of a worker', async () => {
    for (const [argv, given] of [
      [['--role', 'prefill', '--kv-connector', 'nixl-push'], 'engineId'],
      [['--role', 'decode', '--kv-connector', 'lmcache'], 'receiver'],
    ] as const) {
      const { out } = await run(['--port', '0', '--kv-side-port', '0', ...argv]);
      const file = out.slice(out.indexOf('  workers:'), out.indexOf('Stop with'));
      const beneath = readYaml(file.replaceAll(/^ {2}/gm, ''), 'router.yaml');
      const loaded = loadConfig({ ...{ argv: [], env: {}, cwd: '/' }, beneath });
      assert.ok(loaded.kind === 'ok', JSON.stringify(loaded));
      assert.ok(loaded.settings.workers[0]?.traits.kvTransfer?.[given] !== undefined);
      assert.match(out, new RegExp(`--kv-connector ${argv[3]} --config-file FILE --`));
    }
  });

  it('outlives a time in which all its workers refuse connections', async () => {
    const bin = fileURLToPath(new URL('../../bin/vllm-router.js', import.meta.url));
    const args = ['sim', '--port', '0', '--fault', 'refuse:for_ms=100'];
    const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(said.toString()) ?? [];
    const ended = once(child, 'exit');
    const answered = (async () => {
      for (;;) {
        const response = await fetch(`${url}/health`).catch(() => undefined);
        if (response) return response.status;
        if (child.exitCode !== null) return 'ended';
      }
    })();
    assert.equal(await answered, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  });

  it('says in one line what is wrong with an argument', async () => {
    const { code, err } = await run(['--prot', '1']);
    assert.equal(code, 2);
    assert.equal(err, 'vllm-router sim: unknown argument --prot; did you mean --port?\n');
  });

  it('says which address is taken, and leaves nothing behind', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const port = String((taken.address() as AddressInfo).port);
    const { code, err } = await run(['--port', port]);
    taken.close();
    assert.equal(code, 1);
    assert.equal(err, `vllm-router sim: cannot listen on 127.0.0.1:${port} (--port): the port is taken\n`);
  });

  it('shows every flag in its help', async () => {
    const { code, out } = await run(['--help']);
    assert.equal(code, 0);
    assert.match(out, /--time-scale X/);
    assert.match(out, /no_framing/);
  });
});
