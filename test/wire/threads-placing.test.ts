/** Two threads place as well as one: what one has routed, the other knows in time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHAT } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';

/** A turn takes longer than what was routed takes to be known. */
const PACE = 0.5;

const CONVERSATIONS = 8;
const TURNS = 4;
/** As much of what could be found in caches as one thread finds. */
const AS_GOOD = 0.97;

interface Usage {
  readonly prompt_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** The share of all prompt tokens that workers had cached; every turn comes on whatever connection there is. */
async function hitShare(threads: number): Promise<number> {
  await using fleet = await startFleet({
    workers: Array.from({ length: 4 }, () => ({ timeScale: PACE })),
    router: { threads, policy: 'least_work' },
  });
  let [prompt, cached] = [0, 0];
  const texts = Array.from({ length: CONVERSATIONS }, (_, name) => `conversation ${name}: `);
  for (let turn = 0; turn < TURNS; turn += 1)
    for (const [name, text] of texts.entries()) {
      const content = (texts[name] = `${text}${'words of turn '.repeat(60)}${turn} of ${name}. `);
      // A connection of its own: the kernel gives it to either thread.
      const response = await fetch(`${fleet.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ ...CHAT, messages: [{ role: 'user', content }] }),
      });
      const { usage } = (await response.json()) as { usage: Usage };
      prompt += usage.prompt_tokens;
      cached += usage.prompt_tokens_details.cached_tokens;
    }
  return cached / prompt;
}

test('of two threads each finds what the other has routed', async () => {
  const one = await hitShare(1);
  const two = await hitShare(2);
  assert.ok(one > 0.5, `${one}`);
  assert.ok(two >= AS_GOOD * one, `${two} with two threads, ${one} with one`);
});
