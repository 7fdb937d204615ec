/** Prompts in token ids, and what a router knows of where they are cached. */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { CandidateRecord, Decision } from '../../src/request/record/decision.ts';
import { adminOf } from './admin.ts';
import type { Fleet } from './fleet.ts';

/** Tokens in a block of simulated workers. */
export const BLOCK = 16;

/** A prompt of so many full blocks and a few tokens; those of one topic begin alike, those of two share nothing. */
export const promptOf = (topic: number, blocks: number): number[] =>
  Array.from({ length: BLOCK * blocks + 3 }, (_, at) => 1000 * topic + at + 10);

const bodyOf = (prompt: readonly number[]): object => ({ prompt, max_tokens: 1 });

/** Has it computed, by a router or a worker. @returns the id of the request. */
export async function complete(
  url: string,
  prompt: readonly number[],
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(bodyOf(prompt)),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return response.headers.get('x-request-id') ?? '';
}

/** Has it computed by the router, and waits for the record. */
export async function decided(fleet: Fleet, prompt: readonly number[]): Promise<Decision> {
  const id = await complete(fleet.url, prompt);
  return fleet.decision(({ request_id }) => request_id === id);
}

/** How much of a prompt each candidate was known to hold, and how; by worker. */
export function told(candidates: readonly CandidateRecord[]): Record<string, string> {
  return Object.fromEntries(
    candidates.map(({ worker, matched_tokens = 0, matched_source = 'predicted' }) => [
      worker,
      `${matched_source} ${matched_tokens}`,
    ]),
  );
}

/** Asks what the router would do with the prompt, which changes nothing, until it knows this of all workers. */
export async function untilKnown(
  fleet: Fleet,
  prompt: readonly number[],
  expected: Readonly<Record<string, string>>,
): Promise<void> {
  const admin = adminOf(fleet);
  const until = performance.now() + 10_000;
  for (;;) {
    const request = { path: '/v1/completions', body: bodyOf(prompt) };
    const { body } = await admin('POST', '/admin/explain', request);
    const seen = told(body.candidates);
    if (isDeepStrictEqual(seen, expected)) return;
    if (performance.now() > until) assert.deepEqual(seen, expected);
  }
}
