/** A conversation stays where its beginning is cached, and the engine confirms what was predicted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, workerOf } from '../support/chat.ts';
import { LEGS } from '../support/fleet-shape.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';

interface Message {
  readonly role: string;
  readonly content: unknown;
}

const FOUR = [{}, {}, {}, {}];

/** Asks, and appends the answer and the next question, as a chat client does. */
async function turn(fleet: Fleet, messages: Message[], fields: object = {}): Promise<string | null> {
  const response = await chat(fleet, { messages, max_tokens: 24, ...fields });
  const { choices } = JSON.parse(await response.text()) as { choices: { message: Message }[] };
  const [choice] = choices;
  assert.ok(choice);
  messages.push(
    { role: 'assistant', content: choice.message.content },
    { role: 'user', content: `And then, after turn ${messages.length}?` },
  );
  return workerOf(response);
}

function conversation(name: string): Message[] {
  return [
    { role: 'system', content: `You are the guide of ${name}. ${`Rule of ${name}: be kind. `.repeat(20)}` },
    { role: 'user', content: `Tell me about ${name}.` },
  ];
}

for (const policy of ['cache_aware', 'least_work'] as const) {
  test(`${policy}: several conversations at once, each with a worker of its own`, async () => {
    await using fleet = await startFleet({ workers: FOUR, router: { policy } });
    const names = ['Rome', 'Oslo', 'Lima', 'Cairo'];
    const chats = new Map(names.map((name) => [name, conversation(name)]));
    const homes = new Map<string, string | null>();
    for (let round = 0; round < 4; round += 1) {
      for (const [name, messages] of chats) {
        const worker = await turn(fleet, messages, { session_id: `${name}-${round}` });
        if (round === 0) homes.set(name, worker);
        assert.equal(worker, homes.get(name), `${name}, round ${round}`);
      }
    }
    assert.equal(new Set(homes.values()).size, 4);
  });

  test(`${policy}: the prediction is what the engine reports`, async () => {
    await using fleet = await startFleet({ workers: [{}, {}], router: { policy } });
    const messages = conversation('Lagos');
    for (let round = 0; round < 4; round += 1) await turn(fleet, messages);
    const {
      predicted_cached_tokens: predicted = 0,
      actual_cached_tokens: actual = 0,
      prompt_tokens: prompt = 0,
    } = await fleet.decision();
    assert.ok(actual > 0.5 * prompt, `${actual} of ${prompt} cached`);
    assert.ok(
      Math.abs(predicted - actual) < 0.25 * prompt,
      `${predicted} predicted, ${actual} found, of ${prompt}`,
    );
  });
}

test('the same question under another system prompt is another prompt', async () => {
  await using fleet = await startFleet({ workers: [{}, {}], router: { policy: 'cache_aware' } });
  const question = { role: 'user', content: 'word '.repeat(200) };
  const first = await chat(fleet, { messages: [{ role: 'system', content: 'A' }, question] });
  const second = await chat(fleet, { messages: [{ role: 'system', content: 'B' }, question] });
  assert.notEqual(workerOf(first), workerOf(second));
  assert.equal((await fleet.decision()).reason, 'least_loaded_cold');
});

test('adapters do not share what is cached, nor do prompts with another cache salt', async () => {
  await using fleet = await startFleet({
    workers: [{ loras: ['l'] }, { loras: ['l'] }],
    router: { policy: 'cache_aware' },
  });
  const messages = [{ role: 'user', content: 'word '.repeat(200) }];
  for (const fields of [{}, { model: 'l' }, { cache_salt: 'x' }, { cache_salt: 'y' }]) {
    await chat(fleet, { messages, ...fields });
    const { reason, predicted_cached_tokens: predicted } = await fleet.decision();
    assert.deepEqual([reason, predicted], ['least_loaded_cold', 0]);
  }
  await chat(fleet, { messages, cache_salt: 'x' });
  assert.equal((await fleet.decision()).reason, 'warmest');
});

for (const [path, make] of [
  ['/v1/completions', (text: string) => ({ prompt: text })],
  ['/v1/responses', (text: string) => ({ input: text })],
  ['/v1/messages', (text: string) => ({ messages: [{ role: 'user', content: text }], max_tokens: 1 })],
  ['/v1/completions', (text: string) => ({ prompt: [...text].map((char) => char.charCodeAt(0)) })],
  [
    '/v1/chat/completions',
    (text: string) => ({ messages: [{ role: 'user', content: [{ type: 'text', text }] }] }),
  ],
] as const) {
  test(`${path} knows its prompt: ${Object.keys(make('')).join(', ')}`, async () => {
    await using fleet = await startFleet({ workers: FOUR });
    const homes = new Map<number, string | null>();
    for (let round = 0; round < 3; round += 1) {
      for (let topic = 0; topic < 4; topic += 1) {
        const body = JSON.stringify({
          model: 'sim-model',
          ...make(`topic ${topic} `.repeat(60) + 'more '.repeat(10 * round)),
          max_tokens: 1,
        });
        const response = await fetch(fleet.url + path, { method: 'POST', body });
        await response.arrayBuffer();
        if (round === 0) homes.set(topic, workerOf(response));
        assert.equal(workerOf(response), homes.get(topic));
      }
    }
    // Among pairs it also counts how soon blocks came to each worker, which is another one each time.
    if (LEGS === 1) assert.equal(new Set(homes.values()).size, 4);
  });
}
