import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { HookSettings } from '../config/settings/settings.ts';
import { HookChain, type HookEvents, type HookSubject, type OpenHook } from './chain.ts';
import { TOKEN_SUFFIX, type HookInput, type HookVerdict } from './hook.ts';

const ALLOW: HookVerdict = { action: 'allow' };

/** A hook that answers when the test says so. */
class FakeHook implements OpenHook {
  readonly calls: { input: HookInput; signal: AbortSignal; answer: (verdict: HookVerdict) => void }[] = [];
  readonly settings: HookSettings[];
  closed = 0;
  /** Instead of waiting for the test. */
  verdict: HookVerdict | Error | undefined;

  constructor(settings: HookSettings) {
    this.settings = [settings];
  }

  run(input: HookInput, signal: AbortSignal): Promise<HookVerdict> {
    if (this.verdict instanceof Error) throw this.verdict;
    return new Promise((resolve) => {
      this.calls.push({ input, signal, answer: resolve });
      if (this.verdict && !(this.verdict instanceof Error)) resolve(this.verdict);
    });
  }

  close(): void {
    this.closed += 1;
  }

  reconfigure(settings: HookSettings): void {
    this.settings.push(settings);
  }
}

const SOURCE = {
  kind: 'http',
  authorization: undefined,
  headers: [],
  forwardHeaders: [],
  maxResponseBytes: 1000,
} as const;

function hookSettings(name: string, fields: Partial<HookSettings> = {}): HookSettings {
  return {
    name,
    source: { ...SOURCE, address: { base: `http://${name}:9000`, path: '/check' } },
    timeoutMs: 200,
    onError: 'pass',
    onReject: 'block403',
    transform: false,
    tunnels: 'refuse',
    maxConcurrent: 10,
    breaker: {
      ...{ enabled: true, failureThreshold: 3, successThreshold: 1 },
      ...{ openMs: 5_000, windowMs: 60_000, halfOpenTrials: 1 },
    },
    ...fields,
  };
}

class Subject implements HookSubject {
  body: Buffer = Buffer.from('{"prompt":"original"}');
  readonly tokens: string[] = [];
  refusal: string | Error | undefined;

  input(): HookInput {
    return {
      ...{ route: '/v1/chat/completions', requestId: 'r1', model: 'm', stream: false, tenant: undefined },
      ...{ headers: [], contentType: 'application/json', body: this.body },
    };
  }

  replace(body: Buffer): string | undefined {
    if (this.refusal instanceof Error) throw this.refusal;
    if (this.refusal === undefined) this.body = body;
    return this.refusal;
  }

  ran(token: string): void {
    this.tokens.push(token);
  }
}

function open(...settings: HookSettings[]) {
  return openIn(1, ...settings);
}

function openIn(threads: number, ...settings: HookSettings[]) {
  const clock = new VirtualClock();
  const hooks = new Map<string, FakeHook>();
  const seen: string[] = [];
  const events: HookEvents = {
    outcome: (hook, outcome, ms) => seen.push(`${hook} ${outcome} ${ms}`),
    breaker: (hook, from, to) => seen.push(`${hook} ${from}>${to}`),
    failing: (hook, message) => seen.push(`${hook} fails: ${message}`),
    recovered: (hook) => seen.push(`${hook} recovered`),
  };
  const opened: FakeHook[] = [];
  const chain = new HookChain(settings, {
    ...{ clock, events, threads },
    open: (entry) => {
      const hook = new FakeHook(entry);
      opened.push(hook);
      hooks.set(entry.name, hook);
      return hook;
    },
  });
  const hook = (name: string): FakeHook => {
    const found = hooks.get(name);
    if (!found) throw new Error(`no hook ${name}`);
    return found;
  };
  const subject = new Subject();
  const run = (signal = new AbortController().signal, over = subject) => chain.run(over, signal);
  return { clock, chain, hook, seen, opened, subject, run };
}

/** Lets what has been settled take effect. */
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the order', () => {
  it('is that of the settings, one after the other', async () => {
    const { hook, run, subject } = open(hookSettings('a'), hookSettings('b'));
    const end = run();
    await soon();
    assert.equal(hook('a').calls.length, 1);
    assert.equal(hook('b').calls.length, 0);
    hook('a').calls[0]?.answer(ALLOW);
    await soon();
    hook('b').calls[0]?.answer(ALLOW);
    assert.deepEqual(await end, { kind: 'passed' });
    assert.deepEqual(subject.tokens, ['a', 'b']);
  });

  it('ends at the first that rejects', async () => {
    const { hook, run, subject } = open(hookSettings('a'), hookSettings('b'));
    hook('a').verdict = { action: 'reject', reason: 'no' };
    assert.deepEqual(await run(), { kind: 'rejected', hook: 'a', how: 'block403', reason: 'no' });
    assert.deepEqual(subject.tokens, ['a:rejected']);
    assert.equal(hook('b').calls.length, 0);
  });
});

describe('what a hook says', () => {
  const rows: readonly (readonly [string, Partial<HookSettings>, HookVerdict, string, string])[] = [
    ['allow', {}, ALLOW, 'h', 'passed'],
    ['reject', {}, { action: 'reject', reason: 'x' }, 'h:rejected', 'rejected'],
    [
      'reject, ignored',
      { onReject: 'pass' },
      { action: 'reject', reason: 'x' },
      'h:rejected-ignored',
      'passed',
    ],
    ['transform, not allowed to', {}, { action: 'transform', body: Buffer.from('{}') }, 'h', 'passed'],
    [
      'transform',
      { transform: true },
      { action: 'transform', body: Buffer.from('{}') },
      'h:transformed',
      'passed',
    ],
    [
      'transform without body',
      { transform: true },
      { action: 'transform', body: undefined },
      'h:transform-no-body',
      'passed',
    ],
    ['another word', { onError: 'block' }, { action: 'unknown' }, 'h:unknown', 'passed'],
    ['error', {}, { action: 'error', message: 'm', blame: 'hook' }, 'h:error', 'passed'],
    [
      'error, blocking',
      { onError: 'block' },
      { action: 'error', message: 'm', blame: 'hook' },
      'h:error',
      'failed',
    ],
  ];
  for (const [what, settings, verdict, token, end] of rows)
    it(`has its token and its end: ${what}`, async () => {
      const { hook, run, subject } = open(hookSettings('h', settings));
      hook('h').verdict = verdict;
      assert.equal((await run()).kind, end);
      assert.deepEqual(subject.tokens, [token]);
    });

  it('of a body that is not to be replaced leaves it alone', async () => {
    const { hook, run, subject } = open(hookSettings('h'));
    hook('h').verdict = { action: 'transform', body: Buffer.from('{}') };
    await run();
    assert.equal(subject.body.toString(), '{"prompt":"original"}');
  });

  it('reaches the hooks behind it', async () => {
    const { hook, run } = open(hookSettings('a', { transform: true }), hookSettings('b'));
    hook('a').verdict = { action: 'transform', body: Buffer.from('{"prompt":"***"}') };
    hook('b').verdict = ALLOW;
    await run();
    assert.equal(hook('b').calls[0]?.input.body.toString(), '{"prompt":"***"}');
  });

  it('is an error when the body cannot be taken', async () => {
    for (const [onError, kind] of [
      ['pass', 'passed'],
      ['block', 'failed'],
    ] as const) {
      const { hook, run, subject, seen } = open(hookSettings('a', { transform: true, onError }));
      hook('a').verdict = { action: 'transform', body: Buffer.from('{}') };
      subject.refusal = 'too large';
      assert.equal((await run()).kind, kind);
      assert.deepEqual(subject.tokens, ['a:error']);
      assert.ok(seen.includes('a fails: too large'));
    }
  });

  it('ends the chain where taking the body throws', async () => {
    const { hook, run, subject, chain } = open(hookSettings('a', { transform: true }));
    hook('a').verdict = { action: 'transform', body: Buffer.from('{}') };
    subject.refusal = new Error('no room');
    await assert.rejects(run(), /no room/);
    assert.deepEqual(subject.tokens, ['a:error']);
    chain.close();
    assert.equal(hook('a').closed, 1, 'the run that failed does not hold the hook');
  });

  it('is an error when it throws instead', async () => {
    const { hook, run, subject } = open(hookSettings('a', { onError: 'block' }));
    hook('a').verdict = new Error('broken');
    assert.deepEqual(await run(), { kind: 'failed', hook: 'a', why: 'error' });
    assert.deepEqual(subject.tokens, ['a:error']);
  });

  it('has tokens that are a contract', () => {
    assert.deepEqual(TOKEN_SUFFIX, {
      allowed: '',
      transformed: ':transformed',
      transform_no_body: ':transform-no-body',
      rejected: ':rejected',
      rejected_ignored: ':rejected-ignored',
      unknown: ':unknown',
      timeout: ':timeout',
      error: ':error',
    });
  });
});

describe('a slow hook', () => {
  for (const [onError, end] of [
    ['pass', { kind: 'passed' }],
    ['block', { kind: 'failed', hook: 'a', why: 'timeout' }],
  ] as const)
    it(`is cut at its time, on_error ${onError}`, async () => {
      const { clock, hook, run, subject, seen } = open(hookSettings('a', { onError, timeoutMs: 150 }));
      const done = run();
      clock.advance(149);
      assert.equal(hook('a').calls[0]?.signal.aborted, false);
      clock.advance(1);
      assert.deepEqual(await done, end);
      assert.equal(hook('a').calls[0]?.signal.aborted, true);
      assert.deepEqual(subject.tokens, ['a:timeout']);
      assert.ok(seen.includes('a timeout 150'));
      hook('a').calls[0]?.answer(ALLOW);
      await soon();
      assert.deepEqual(subject.tokens, ['a:timeout'], 'what it says afterwards is not heard');
      assert.equal(clock.pending, 0);
    });
});

describe('a request that ends meanwhile', () => {
  it('cuts the running call at once, and asks nobody else', async () => {
    const { hook, run, subject, seen, clock } = open(hookSettings('a'), hookSettings('b'));
    const leave = new AbortController();
    const done = run(leave.signal);
    leave.abort();
    assert.equal(hook('a').calls[0]?.signal.aborted, true);
    assert.deepEqual(await done, { kind: 'aborted' });
    assert.deepEqual([subject.tokens, hook('b').calls.length, seen, clock.pending], [[], 0, [], 0]);
  });

  it('before the first call asks nobody', async () => {
    const { hook, run } = open(hookSettings('a'));
    assert.deepEqual(await run(AbortSignal.abort()), { kind: 'aborted' });
    assert.equal(hook('a').calls.length, 0);
  });

  it('says nothing against the hook', async () => {
    const { hook, run } = open(hookSettings('a', { onError: 'block' }));
    for (let n = 0; n < 5; n++) {
      const leave = new AbortController();
      const done = run(leave.signal);
      leave.abort();
      await done;
    }
    hook('a').verdict = ALLOW;
    assert.deepEqual(await run(), { kind: 'passed' });
  });
});

describe('the circuit of a hook', () => {
  const FAILS: HookVerdict = { action: 'error', message: 'refused', blame: 'hook' };

  it('opens after failures in a row: then it fails without a call, and one call finds out when it is back', async () => {
    const { clock, hook, run, seen } = open(hookSettings('a', { onError: 'block' }));
    const guard = hook('a');
    guard.verdict = FAILS;
    for (let n = 0; n < 3; n++) await run();
    assert.equal(guard.calls.length, 3);
    assert.deepEqual(await run(), { kind: 'failed', hook: 'a', why: 'error' });
    assert.equal(guard.calls.length, 3, 'an open circuit asks nobody');
    clock.advance(4_999);
    await run();
    assert.equal(guard.calls.length, 3);
    clock.advance(1);
    guard.verdict = undefined;
    const trial = run();
    assert.deepEqual(await run(), { kind: 'failed', hook: 'a', why: 'error' }, 'one trial at a time');
    guard.calls[3]?.answer(ALLOW);
    assert.deepEqual(await trial, { kind: 'passed' });
    guard.verdict = ALLOW;
    assert.deepEqual(await run(), { kind: 'passed' });
    assert.deepEqual(
      seen.filter((line) => !line.startsWith('a error') && !line.startsWith('a allowed')),
      ['a fails: refused', 'a closed>open', 'a open>half_open', 'a half_open>closed', 'a recovered'].toSorted(
        (x, y) => seen.indexOf(x) - seen.indexOf(y),
      ),
    );
  });

  it('opens by timeouts too', async () => {
    const { clock, hook, run } = open(hookSettings('a'));
    for (let n = 0; n < 3; n++) {
      const done = run();
      clock.advance(200);
      await done;
    }
    await run();
    assert.equal(hook('a').calls.length, 3);
  });

  it('stays closed when answers come between the failures', async () => {
    const { hook, run } = open(hookSettings('a'));
    for (let n = 0; n < 10; n++) {
      hook('a').verdict = n % 3 === 2 ? ALLOW : FAILS;
      await run();
    }
    assert.equal(hook('a').calls.length, 10);
  });

  it('does not count what the request is to blame for', async () => {
    const { hook, run } = open(hookSettings('a'));
    hook('a').verdict = { action: 'error', message: 'status 413', blame: 'request' };
    for (let n = 0; n < 10; n++) await run();
    assert.equal(hook('a').calls.length, 10);
  });

  it("is its own, not its neighbour's", async () => {
    const { hook, run } = open(hookSettings('a'), hookSettings('b'));
    hook('a').verdict = FAILS;
    hook('b').verdict = ALLOW;
    for (let n = 0; n < 5; n++) await run();
    assert.deepEqual([hook('a').calls.length, hook('b').calls.length], [3, 5]);
  });
});

describe('many requests at once', () => {
  for (const { threads, most, calls } of [
    { threads: 2, most: 5, calls: 2 },
    { threads: 4, most: 3, calls: 1 },
  ])
    it(`are asked about up to its share where ${threads} threads may make ${most} calls`, async () => {
      const { chain, hook, run } = openIn(threads, hookSettings('a', { maxConcurrent: 100 }));
      chain.reconfigure([hookSettings('a', { maxConcurrent: most })]);
      const runs = Array.from({ length: 9 }, () => run());
      assert.equal(hook('a').calls.length, calls);
      for (let at = 0; at < runs.length; at++) {
        hook('a').calls[at]?.answer(ALLOW);
        await runs[at];
      }
      const other = openIn(threads, hookSettings('b', { maxConcurrent: most }));
      for (let at = 0; at < 9; at++) void other.run();
      assert.equal(other.hook('b').calls.length, calls);
    });

  it('are asked about up to the limit, and the rest waits within its time', async () => {
    const { clock, hook, run, seen } = open(hookSettings('a', { maxConcurrent: 2, timeoutMs: 100 }));
    const runs = [run(), run(), run()];
    assert.equal(hook('a').calls.length, 2);
    clock.advance(90);
    hook('a').calls[0]?.answer(ALLOW);
    await runs[0];
    assert.equal(hook('a').calls.length, 3);
    hook('a').calls[1]?.answer(ALLOW);
    await runs[1];
    clock.advance(10);
    await runs[2];
    assert.equal(hook('a').calls[2]?.signal.aborted, true, 'most of its time went by while it waited');
    assert.deepEqual(seen.slice(0, 3), ['a allowed 90', 'a allowed 90', 'a timeout 100']);
    assert.equal(clock.pending, 0);
  });

  it('that wait are not asked about when the circuit opens meanwhile', async () => {
    const { hook, run } = open(
      hookSettings('a', { maxConcurrent: 1, breaker: { ...hookSettings('x').breaker, failureThreshold: 1 } }),
    );
    const runs = [run(), run(), run()];
    hook('a').calls[0]?.answer({ action: 'error', message: 'gone', blame: 'hook' });
    await Promise.all(runs);
    assert.equal(hook('a').calls.length, 1);
  });
});

describe('while one call tries whether a hook is back', () => {
  it('nobody waits for a place behind it', async () => {
    const breaker = { ...hookSettings('x').breaker, failureThreshold: 1 };
    const { clock, hook, run } = open(hookSettings('a', { maxConcurrent: 2, timeoutMs: 60_000, breaker }));
    const hanging = run();
    const failing = run();
    hook('a').calls[1]?.answer({ action: 'error', message: 'down', blame: 'hook' });
    await failing;
    clock.advance(5_000);
    const trial = run();
    assert.equal(hook('a').calls.length, 3, 'both places are taken');
    assert.deepEqual(await run(), { kind: 'passed' });
    for (const call of hook('a').calls) call.answer(ALLOW);
    await Promise.all([hanging, trial]);
  });
});

describe('other settings', () => {
  it('keep what is learnt of a hook with the same name and place, and take effect', async () => {
    const { chain, hook, opened, run } = open(hookSettings('a', { onError: 'block' }));
    hook('a').verdict = { action: 'error', message: 'down', blame: 'hook' };
    for (let n = 0; n < 3; n++) await run();
    const other = hookSettings('a', { onError: 'pass', timeoutMs: 50 });
    chain.reconfigure([other]);
    assert.equal(opened.length, 1);
    assert.equal(hook('a').settings.at(-1), other);
    assert.deepEqual(await run(), { kind: 'passed' });
    assert.equal(hook('a').calls.length, 3, 'the circuit is still open');
  });

  it('open another hook where the place is another, and close what is gone', async () => {
    const { chain, opened, run, subject } = open(hookSettings('a'), hookSettings('b'));
    const moved = hookSettings('a');
    chain.reconfigure([{ ...moved, source: { ...SOURCE, address: { base: 'http://else', path: '/' } } }]);
    assert.deepEqual(
      opened.map(({ closed }) => closed),
      [1, 1, 0],
    );
    const [, , fresh] = opened;
    if (fresh) fresh.verdict = ALLOW;
    await run();
    assert.deepEqual(subject.tokens, ['a']);
  });

  it('let a run finish with the hooks it began with, which are closed afterwards', async () => {
    const { chain, hook, run, subject } = open(hookSettings('a'), hookSettings('b'));
    const done = run();
    chain.reconfigure([]);
    assert.equal(hook('b').closed, 0);
    hook('b').verdict = { action: 'reject', reason: undefined };
    hook('a').calls[0]?.answer(ALLOW);
    assert.equal((await done).kind, 'rejected');
    assert.deepEqual(subject.tokens, ['a', 'b:rejected']);
    assert.deepEqual([hook('a').closed, hook('b').closed], [1, 1]);
    assert.deepEqual(await run(), { kind: 'passed' });
  });
});
