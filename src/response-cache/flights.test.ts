import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Flights, type Boarding, type Landing } from './flights.ts';
import type { StoredAnswer } from './stored-answer.ts';

const ANSWER: StoredAnswer = {
  createdAt: 0,
  contentType: 'application/json',
  body: Buffer.from('{}'),
  promptTokens: undefined,
  completionTokens: undefined,
};

function leadOf(boarding: Boarding | Landing) {
  assert.ok(boarding.kind === 'lead');
  return boarding.lead;
}

function waitOf(boarding: Boarding) {
  assert.ok(boarding.kind === 'wait');
  return boarding;
}

describe('requests for one answer', () => {
  it('wait for the first, and get what it got', async () => {
    const flights = new Flights();
    const lead = leadOf(flights.join('k'));
    const others = [waitOf(flights.join('k')), waitOf(flights.join('k'))];
    assert.equal(flights.join('other').kind, 'lead');
    lead.landed(ANSWER);
    for (const { landing } of others) assert.deepEqual(await landing, { kind: 'answer', answer: ANSWER });
    assert.equal(flights.join('k').kind, 'lead');
  });

  it('go on alone when it fails', async () => {
    const flights = new Flights();
    const lead = leadOf(flights.join('k'));
    const other = waitOf(flights.join('k'));
    lead.failed();
    lead.landed(ANSWER);
    assert.deepEqual(await other.landing, { kind: 'alone' });
    assert.equal(flights.size, 0);
  });

  it('hand over to the one who has waited longest when its client leaves', async () => {
    const flights = new Flights();
    const first = leadOf(flights.join('k'));
    const [second, third] = [waitOf(flights.join('k')), waitOf(flights.join('k'))];
    first.left();
    first.failed();
    const heir = leadOf(await second.landing);
    const late = waitOf(flights.join('k'));
    heir.landed(ANSWER);
    assert.equal((await third.landing).kind, 'answer');
    assert.equal((await late.landing).kind, 'answer');
    assert.equal(flights.size, 0);
  });

  it('are forgotten when all of them leave', () => {
    const flights = new Flights();
    const lead = leadOf(flights.join('k'));
    waitOf(flights.join('k')).leave();
    lead.left();
    assert.equal(flights.size, 0);
  });

  it('are not kept waiting in any number', () => {
    const flights = new Flights(1);
    const lead = leadOf(flights.join('k'));
    const other = waitOf(flights.join('k'));
    assert.deepEqual(flights.join('k'), { kind: 'alone' });
    other.leave();
    assert.equal(flights.join('k').kind, 'wait');
    lead.failed();
  });
});
