/** Long prompts are Buffers that come and go: the collector is not to look through everything because of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';
import { ONE_THREAD, serve } from '../support/serve.ts';

const PROMPT_BYTES = 220_000;
const PROMPTS = 600;
/** With little to go to, V8 never lets the heap grow by much, whatever it thinks of the speed of the process. */
const NODE_FLAGS = ['--trace-gc', '--max-old-space-size=192'];

test('after hundreds of long prompts everything has been looked through a few times at most', async (t) => {
  await using worker = await startScriptedWorker((response) => response.end('{}'));
  const { port, program } = await serve(t, [...ONE_THREAD, '--worker-urls', worker.url], NODE_FLAGS);
  await program.printed(/is healthy/);
  await using client = await RawClient.connect(port);
  for (let sent = 0; sent < PROMPTS; sent += 1) {
    const text = `${sent} `.repeat(PROMPT_BYTES).slice(0, PROMPT_BYTES);
    const body = JSON.stringify({ model: 'sim-model', messages: [{ role: 'user', content: text }] });
    client.send(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assert.equal((await client.response()).status, 200);
  }
  program.child.kill();
  const { stdout } = await program.ended;
  const [, sinceStart = ''] = stdout.split('"msg":"vllm-router listens"');
  const collections = [...sinceStart.matchAll(/Mark-Compact .*/g)];
  assert.ok(collections.length <= 4, `${collections.length}`);
});
