/** Audio comes as a form, whose model says which workers may have it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerOf } from '../support/chat.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';

function transcribe(fleet: Fleet, model: string, bytes: number): Promise<Response> {
  const form = new FormData();
  // As the OpenAI clients do it: the file stands before the model.
  form.append('file', new Blob([Buffer.alloc(bytes, 'RIFF')]), 'speech.wav');
  form.append('model', model);
  return fetch(`${fleet.url}/v1/audio/transcriptions`, { method: 'POST', body: form });
}

for (const bytes of [1_000, 3_000_000]) {
  test(`a form of ${bytes} bytes goes to a worker that serves its model`, async () => {
    await using fleet = await startFleet({
      workers: [{ models: ['whisper-a'] }, { models: ['whisper-b'] }],
      router: { policy: 'round_robin' },
    });
    for (let turn = 0; turn < 3; turn += 1) {
      for (const [index, model] of ['whisper-a', 'whisper-b'].entries()) {
        const response = await transcribe(fleet, model, bytes);
        assert.equal(response.status, 200);
        assert.equal(workerOf(response), fleet.workers[index]?.url);
        assert.equal(response.headers.get('x-vllm-router-model'), model);
        await response.text();
      }
    }
  });
}

test('a large form is passed on as it comes where all workers serve the same', async () => {
  await using fleet = await startFleet();
  const response = await transcribe(fleet, 'sim-model', 3_000_000);
  assert.equal(response.status, 200);
  await response.text();
  const decision = await fleet.decision();
  assert.equal(decision.requested_model, undefined, 'nobody waited for the end of the form to read it');
  assert.ok(decision.request_bytes > 3_000_000);
});

test('a form that is held reaches a second worker when the first one breaks', async () => {
  await using fleet = await startFleet({
    workers: [{ faults: ['reset'] }, {}],
    router: { policy: 'round_robin' },
  });
  for (let turn = 0; turn < 2; turn += 1) {
    const response = await transcribe(fleet, 'sim-model', 1_000);
    assert.equal(response.status, 200);
    await response.text();
  }
  const served = fleet.workers[1]?.seen.filter(({ url }) => url === '/v1/audio/transcriptions') ?? [];
  assert.equal(served.length, 2);
});
