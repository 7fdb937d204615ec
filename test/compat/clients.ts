import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { Fleet } from '../support/fleet.ts';

export const MODEL = 'sim-model';

/** Two workers that say the same to the same prompt, and as much as they are asked for. */
export const TWINS = [
  { seed: 1, outputTokens: 1000 },
  { seed: 1, outputTokens: 1000 },
];

/** A worker whose answers take their time, so that what happens after some events happens in the middle of them. */
export const STEADY = { timeScale: 1, outputTokens: 1000 };

/** A router that passes the first failure on. */
export const NO_RETRIES = { disableRetries: true };

type Options = ConstructorParameters<typeof OpenAI>[0];

/** The client as anybody would set it up; it does not retry unless told to. */
export function openai(fleet: Pick<Fleet, 'url'>, options: Options = {}): OpenAI {
  return new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'sk-anything', maxRetries: 0, ...options });
}

export function anthropic(fleet: Pick<Fleet, 'url'>): Anthropic {
  return new Anthropic({ baseURL: fleet.url, apiKey: 'sk-ant-anything', maxRetries: 0 });
}

export function user(content: string): { role: 'user'; content: string }[] {
  return [{ role: 'user', content }];
}

/** What the promise rejects with, which must be of that class. */
export async function rejection<E extends Error>(
  promise: Promise<unknown>,
  expected: abstract new (...args: never[]) => E,
): Promise<E> {
  const reason: unknown = await promise.then(
    (value) => assert.fail(`expected ${expected.name}, got ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  assert.ok(reason instanceof expected, `expected ${expected.name}, got ${String(reason)}`);
  return reason;
}

export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
