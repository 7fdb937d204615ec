import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS, type ErrorCode } from '../base/errors.ts';
import { errorBody, errorEvent } from './error-body.ts';

const CODES = Object.keys(ERRORS) as ErrorCode[];

function facts(code: ErrorCode) {
  return { code, spec: ERRORS[code], message: `about "${code}"\n` };
}

test('OpenAI: message, type, param and the stable code', () => {
  for (const code of CODES) {
    assert.deepEqual(JSON.parse(errorBody('openai', facts(code))), {
      error: { message: `about "${code}"\n`, type: ERRORS[code].type, param: null, code },
    });
  }
});

test('Anthropic: its own envelope and types', () => {
  const types = Object.fromEntries(
    CODES.map((code) => [code, JSON.parse(errorBody('anthropic', facts(code))).error.type]),
  );
  assert.equal(types['invalid_json'], 'invalid_request_error');
  assert.equal(types['model_not_found'], 'not_found_error');
  assert.equal(types['payload_too_large'], 'request_too_large');
  assert.equal(types['queue_full'], 'rate_limit_error');
  assert.equal(types['no_worker_available'], 'overloaded_error');
  assert.equal(types['deadline_exceeded'], 'timeout_error');
  assert.equal(types['connect_failed'], 'api_error');
  assert.equal(JSON.parse(errorBody('anthropic', facts('internal'))).type, 'error');
});

test('an error event is one event in the caller’s dialect, and never the end mark', () => {
  for (const code of CODES) {
    assert.equal(errorEvent('openai', facts(code)), `data: ${errorBody('openai', facts(code))}\n\n`);
    assert.equal(
      errorEvent('anthropic', facts(code)),
      `event: error\ndata: ${errorBody('anthropic', facts(code))}\n\n`,
    );
  }
});
