/** The openai package for Python against the router: another HTTP client, another SSE parser, other habits. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test, before } from 'node:test';
import { run } from '../programs.ts';
import { startFleet } from '../support/fleet.ts';
import { MODEL, NO_RETRIES, STEADY } from './clients.ts';
import { installPythonClient } from './install-python-client.ts';

interface Failure {
  readonly name: string | null;
  readonly status?: number;
  readonly code?: string;
  readonly message: string;
}

/** What `python_client.py` prints. */
interface Told {
  readonly chat: { readonly text: string; completion_tokens: number; request_id: string; worker: string };
  readonly stream: { readonly text: string; completion_tokens: number };
  readonly embeddings: { readonly packed: readonly number[]; readonly floats: readonly number[] };
  readonly models: readonly string[];
  readonly bad_request: Failure;
  readonly not_found: Failure;
  readonly server_error: Failure;
  readonly broken_stream: Failure;
}

const installed = await installPythonClient();
const skip = installed.kind === 'absent' ? installed.reason : false;
if (skip !== false) process.stderr.write(`skipped, no openai package for Python: ${skip}\n`);

suite('the openai package for Python', { skip, timeout: 60_000 }, () => {
  let told: Told;
  let workerUrl: string | undefined;

  before(async () => {
    assert.equal(installed.kind, 'installed');
    await using fleet = await startFleet({ workers: [STEADY], router: NO_RETRIES });
    await using breaking = await startFleet({ workers: [{ ...STEADY, faults: ['close:after=3'] }] });
    const script = join(import.meta.dirname, 'python_client.py');
    const env = { NO_PROXY: '127.0.0.1', PYTHONDONTWRITEBYTECODE: undefined };
    const ended = await run(installed.python, [script, fleet.url, breaking.url], {
      cwd: import.meta.dirname,
      env,
    });
    assert.equal(ended.status, 0, ended.stderr);
    // The shape is that of the script beside this file; every field is asserted on below.
    told = JSON.parse(ended.stdout) as Told;
    workerUrl = fleet.workers[0]?.url;
  });

  test('a chat, with the router’s headers beside it', () => {
    const { text, completion_tokens, request_id, worker } = told.chat;
    assert.ok(text.length > 0);
    assert.equal(completion_tokens, 12);
    assert.match(request_id, /^req-/);
    assert.equal(worker, workerUrl);
  });

  test('a stream says the same, with usage', () => {
    assert.deepEqual(told.stream, { text: told.chat.text, completion_tokens: 12 });
  });

  test('embeddings arrive exact', () => {
    assert.equal(told.embeddings.packed.length, 8);
    assert.deepEqual(told.embeddings.packed.map(Math.fround), told.embeddings.floats.map(Math.fround));
  });

  test('the models are listed', () => {
    assert.deepEqual(told.models, [MODEL]);
  });

  test('errors are of the right class', () => {
    assert.equal(told.bad_request.name, 'BadRequestError');
    assert.match(told.bad_request.message, /at least one message/);
    assert.equal(told.not_found.name, 'NotFoundError');
    const { name, status, code } = told.server_error;
    assert.deepEqual(
      { name, status, code },
      { name: 'InternalServerError', status: 502, code: 'worker_closed' },
    );
  });

  test('a stream that breaks is an error, never a short answer', () => {
    assert.equal(told.broken_stream.name, 'APIError');
    assert.equal(told.broken_stream.code, 'worker_closed');
  });
});
