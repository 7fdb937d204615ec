import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Arrival } from './arrival.ts';
import { authenticate } from './authenticate.ts';
import { ANYBODY } from './caller.ts';
import type { Runtime } from '../runtime.ts';

it('costs nothing where no keys are checked: one constant, at once, and no header is looked at', () => {
  // Nothing else of them may be touched.
  const rt = { settings: { clients: { auth: { kind: 'open' } } } } as unknown as Runtime;
  assert.equal(authenticate(rt, {} as unknown as Arrival), ANYBODY);
});
