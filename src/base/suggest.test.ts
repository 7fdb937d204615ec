import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nearest } from './suggest.ts';

const FLAGS = ['--port', '--policy', '--worker-urls', '--retry-max-retries', '--health-check-interval-secs'];

for (const [typed, meant] of [
  ['--worker-url', '--worker-urls'],
  ['--worker_urls', '--worker-urls'],
  ['--WorkerUrls', '--worker-urls'],
  ['--prot', '--port'],
  ['--plicy', '--policy'],
  ['--max-retries', '--retry-max-retries'],
] as const) {
  it(`takes ${typed} for ${meant}`, () => {
    assert.equal(nearest(typed, FLAGS), meant);
  });
}

for (const strange of ['--epd-config', '--x', '--', '', '-', '--prefill', 'a'.repeat(5000)]) {
  it(`has no idea what ${JSON.stringify(strange.slice(0, 20))} could mean`, () => {
    assert.equal(nearest(strange, FLAGS), undefined);
  });
}

it('does not guess between several names that contain the word', () => {
  assert.equal(nearest('threshold', ['a_threshold_of_something', 'another_threshold_entirely']), undefined);
});
