import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { pino } from 'pino';
import { VirtualClock } from '../base/virtual-clock.ts';
import { createLog, silentLog, type LogOptions } from './log.ts';
import { cleanFields } from './log-redaction.ts';
import { fdSink, type LogSink } from './log-sink.ts';
import { prettyLine } from './pretty-line.ts';

const NOON = Date.UTC(2026, 10, 3, 12, 0, 0);

interface Captured {
  readonly lines: string[];
  readonly log: ReturnType<typeof createLog>['log'];
  readonly records: () => Record<string, unknown>[];
}

function capture(options: Partial<LogOptions> = {}, isTerminal = false): Captured {
  const lines: string[] = [];
  const sink: LogSink = { write: (line) => lines.push(line), close: () => Promise.resolve(), dropped: 0 };
  const clock = new VirtualClock(NOON);
  const { log } = createLog(
    { level: 'info', format: 'json', dir: undefined, ...options },
    { clock, console: sink, isTerminal },
  );
  return { lines, log, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('createLog', () => {
  it('writes one JSON object per line with level, time, fields and message', () => {
    const { log, lines } = capture();
    log.info({ worker: 'http://w:1', n: 1, gone: undefined }, 'worker is healthy');
    assert.deepEqual(lines, [
      '{"level":"info","time":"2026-11-03T12:00:00.000Z","worker":"http://w:1","n":1,"msg":"worker is healthy"}\n',
    ]);
  });

  it('writes what pino writes of fields that hold nothing secret, byte for byte', () => {
    const expected: string[] = [];
    const theirs = pino(
      {
        ...{ base: null, serializers: {}, formatters: { level: (label: string) => ({ level: label }) } },
        timestamp: () => ',"time":"2026-11-03T12:00:00.000Z"',
      },
      { write: (line: string) => void expected.push(line) },
    );
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.string({ unit: 'binary-ascii', maxLength: 140 }),
      fc.stringMatching(/^[\w./:-]{1,40}$/),
    );
    const value = fc.oneof(
      ...[text, text, fc.double(), fc.integer(), fc.boolean(), fc.constant(undefined), fc.constant(null)],
      fc.array(fc.oneof(text, fc.double()), { maxLength: 3 }),
      fc.record({ a: text, b: fc.integer() }),
      fc.constantFrom(() => 1, Symbol('s'), new Date(0), new Date(NaN)),
    );
    const fields = fc.dictionary(fc.string({ unit: 'grapheme-ascii', maxLength: 12 }), value);
    fc.assert(
      fc.property(fields, text, (given, message) => {
        const { log, lines } = capture();
        if (cleanFields(given) !== given) return;
        log.warn(given, message);
        log.child({ part: 'a"b' }).info(given, message);
        theirs.warn(given, message);
        theirs.child({ part: 'a"b' }).info(given, message);
        assert.deepEqual(lines.splice(0), expected.splice(0));
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it('keeps lines together until they make a batch, and no longer than a moment', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'observe-batch-'));
    const path = join(dir, 'log');
    const sink = fdSink(openSync(path, 'w'), { batch: true });
    try {
      // Lines of two bytes a character: none may be cut at the end of a batch.
      const line = `${'ä'.repeat(1_500)}\n`;
      const sizes = new Set<number>();
      for (let i = 0; i < 100; i += 1) sink.write(line);
      sink.write(`${'x'.repeat(200_000)}\n`);
      sink.write('last\n');
      while (!(await readFile(path, 'utf8')).endsWith('last\n')) sizes.add((await stat(path)).size);
      assert.equal(await readFile(path, 'utf8'), `${line.repeat(100)}${'x'.repeat(200_000)}\nlast\n`);
      assert.ok(sizes.size < 20, `${sizes.size} writes`);
    } finally {
      await sink.close();
      await rm(dir, { recursive: true });
    }
  });

  it('writes only what its level asks for, and says so beforehand', () => {
    const { log, records } = capture({ level: 'warn' });
    let looks = 0;
    const costly = {
      get field(): number {
        return ++looks;
      },
    };
    log.info(costly, 'not written');
    assert.equal(looks, 0);
    for (const level of ['trace', 'debug', 'info', 'warn', 'error'] as const) log[level]({}, level);
    assert.deepEqual(
      records().map((r) => r['msg']),
      ['warn', 'error'],
    );
    assert.deepEqual([log.isLevelEnabled('info'), log.isLevelEnabled('warn')], [false, true]);
  });

  it('gives children their fields', () => {
    const { log, records } = capture();
    log.child({ part: 'health', api_key: 'sk-1' }).child({ worker: 'w' }).info({ n: 1 }, 'x');
    const { part, worker, n, api_key: key } = records()[0] ?? {};
    assert.deepEqual([part, worker, n, key], ['health', 'w', 1, '[redacted]']);
  });

  it('writes no secret and no prompt, however deep they hide', () => {
    const { log, lines } = capture();
    const secrets = {
      authorization: 'Bearer s3cret',
      headers: { Authorization: 'Bearer s3cret', 'X-Api-Key': 's3cret', cookie: ['s3cret'], accept: 'ok' },
      api_key: 's3cret',
      workerApiKeys: { 'http://w': 's3cret' },
      url: 'https://user:s3cret@host/x',
      body: '{"messages": "s3cret"}',
      nested: {
        request: { messages: [{ role: 'user', content: 's3cret' }] },
        bytes: new TextEncoder().encode('s3cret'),
      },
      map: new Map([['token', 's3cret']]),
      note: 'sent authorization: bearer s3cret, then left',
      link: new URL('http://u:s3cret@h/'),
    };
    log.info(secrets, 'failed with Bearer s3cret at http://u:s3cret@h/');
    const cause = Object.assign(new Error('refused https://u:s3cret@h/'), {
      headers: { cookie: 's3cret' },
      body: 's3cret',
    });
    const error = Object.assign(new AggregateError([cause], 'all failed', { cause }), { request: 's3cret' });
    log.error({ err: error }, 'x');
    assert.equal(lines.length, 2);
    assert.ok(!lines.join('').includes('s3cret'), lines.join(''));
    assert.ok(lines[0]?.includes('"accept":"ok"'));
    assert.ok(lines[1]?.includes('"message":"refused https://[redacted]@h/"'));
  });

  it('leaves numbers and ordinary fields alone', () => {
    const fields = {
      note: 'http://[::1]:8000@1, unix:///a:b@2',
      prompt_tokens: 12,
      body: 2048,
      first_token: 3,
      worker: 'http://w:8000@1',
      stream: true,
    };
    assert.equal(cleanFields(fields), fields);
  });

  it('survives fields that cannot be serialised', () => {
    const { log, lines } = capture();
    const ring: Record<string, unknown> = {};
    ring['self'] = ring;
    log.info({ ring, big: 10n, fn: () => 1, symbol: Symbol('s') }, 'ring');
    const trap = {
      get boom(): string {
        throw new Error('getter');
      },
    };
    log.info({ trap }, 'trap');
    assert.equal(lines.length, 2);
    assert.ok(lines[0]?.includes('"big":"10"'));
    assert.ok(lines[1]?.includes('"msg":"trap"'));
  });

  it('is for people on a terminal and JSON elsewhere, unless told', () => {
    const formats = [
      ['auto', true, /INFO/],
      ['auto', false, /^\{/],
      ['json', true, /^\{/],
      ['pretty', false, /INFO /],
    ] as const;
    for (const [format, terminal, expected] of formats) {
      const { log, lines } = capture({ format }, terminal);
      log.info({}, 'hello');
      assert.match(lines[0] ?? '', expected);
    }
  });

  it('has colours on a terminal, unless NO_COLOR says otherwise', () => {
    for (const [env, coloured] of [
      [{}, true],
      [{ NO_COLOR: '1' }, false],
    ] as const) {
      const lines: string[] = [];
      const sink = {
        write: (line: string) => void lines.push(line),
        close: () => Promise.resolve(),
        dropped: 0,
      };
      const options = { level: 'info', format: 'auto', dir: undefined } as const;
      createLog(options, { console: sink, isTerminal: true, env }).log.info({}, 'hello');
      assert.equal(lines[0]?.includes('\u001b['), coloured);
    }
  });

  it('has a silent twin', () => {
    silentLog.child({ a: 1 }).error({}, 'nothing');
    assert.equal(silentLog.isLevelEnabled('error'), false);
  });
});

describe('prettyLine', () => {
  const json = (fields: Record<string, unknown>): string =>
    JSON.stringify({ level: 'warn', time: '2026-11-03T12:00:00.123Z', ...fields, msg: 'slow' }) + '\n';

  it('shows time, level, message and fields', () => {
    const line = prettyLine(
      json({ worker: 'http://w:8000@1', n: 1.5, text: 'two words', list: ['a'] }),
      false,
    );
    assert.equal(
      line,
      '2026-11-03 12:00:00.123 WARN  slow worker=http://w:8000@1 n=1.5 text="two words" list=["a"]\n',
    );
  });

  it('colours only on request', () => {
    assert.ok(!prettyLine(json({}), false).includes('\u001b'));
    assert.ok(prettyLine(json({}), true).includes('\u001b[33mWARN'));
  });

  it('shows of an access line what fits into 120 columns, the most telling first', () => {
    const fields = {
      ...{ level: 'info', time: '2026-11-03T12:00:00.123Z', request_id: 'req-MzBN8FE9e97t3lG9zP1bWbD8' },
      ...{ http_method: 'POST', route: '/v1/chat/completions', status: 200, outcome: 'ok' },
      ...{ model: 'Qwen/Qwen3-8B', worker: 'http://gpu1:8000', method: 'policy', policy: 'least_work' },
      ...{ reason: 'least_work', stream: true, duration_ms: 500.4, total_ms: 710.2, ttft_ms: 500.4 },
      ...{
        attempts: 2,
        prompt_tokens: 3987,
        completion_tokens: 32,
        request_bytes: 16132,
        response_bytes: 6694,
      },
      msg: '/v1/chat/completions 200 ok',
    };
    const line = prettyLine(`${JSON.stringify(fields)}\n`, false);
    assert.equal(
      line,
      '2026-11-03 12:00:00.123 INFO  /v1/chat/completions 200 ok ms=710.2 to=gpu1:8000 id=req-MzBN8FE9e97t3lG9zP1bWbD8\n',
    );
    for (const id of ['a', 'x'.repeat(300), '\u001b[2J'.repeat(9)]) {
      const odd = prettyLine(`${JSON.stringify({ ...fields, request_id: id })}\n`, false);
      assert.ok(odd.length <= 121, odd);
      assert.match(odd, /ms=710\.2 to=gpu1:8000/);
    }
    assert.ok(prettyLine(`${JSON.stringify(fields)}\n`, true).includes('\u001b[2mms=\u001b[0m710.2'));
  });

  it('lets no value fake a line or command the terminal', () => {
    const evil = 'x\n2026-11-03 12:00:00.000 INFO fake\r\u001b[2J\u009b1m\u2028';
    const line = prettyLine(JSON.stringify({ level: 'info', model: evil, msg: evil }) + '\n', false);
    assert.equal(line.indexOf('\n'), line.length - 1);
    assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\p{Zl}]/u);
  });

  it('puts stacks on their own lines', () => {
    const line = prettyLine(
      json({ err: { type: 'Error', stack: 'Error: a\n  at b', cause: { stack: 'Error: c' } } }),
      false,
    );
    assert.equal(
      line,
      '2026-11-03 12:00:00.123 WARN  slow\n    err: Error: a\n      at b\n    caused by: Error: c\n',
    );
  });

  it('passes on what is not JSON', () => {
    assert.equal(prettyLine('not json\n', false), 'not json\n');
  });
});

describe('log files', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'observe-log-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  const quiet: LogSink = { write: () => undefined, close: () => Promise.resolve(), dropped: 0 };
  const open = (clock: VirtualClock, at: string): ReturnType<typeof createLog> =>
    createLog({ level: 'info', format: 'pretty', dir: at }, { clock, console: quiet, isTerminal: true });
  const messages = async (path: string): Promise<unknown[]> =>
    (await readFile(path, 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as Record<string, unknown>)['msg']);

  it('makes the folder, one JSON file per UTC day, and loses no line at midnight', async () => {
    const clock = new VirtualClock(Date.UTC(2026, 10, 3, 23, 59, 59, 999));
    const at = join(dir, 'a', 'b');
    const { log, close, dropped } = open(clock, at);
    for (let i = 0; i < 500; i++) log.info({}, `first ${i}`);
    clock.advance(1);
    for (let i = 0; i < 500; i++) log.info({}, `second ${i}`);
    clock.advance(2 * 86_400_000);
    log.info({}, 'third');
    await close();
    assert.deepEqual((await readdir(at)).sort(), [
      'vllm-router.2026-11-03',
      'vllm-router.2026-11-04',
      'vllm-router.2026-11-06',
    ]);
    const numbers = [...Array(500).keys()];
    assert.deepEqual(
      await messages(join(at, 'vllm-router.2026-11-03')),
      numbers.map((i) => `first ${i}`),
    );
    assert.deepEqual(
      await messages(join(at, 'vllm-router.2026-11-04')),
      numbers.map((i) => `second ${i}`),
    );
    assert.deepEqual(await messages(join(at, 'vllm-router.2026-11-06')), ['third']);
    assert.equal(dropped(), 0);
  });

  it('appends across restarts and ignores lines after the end', async () => {
    for (const n of [1, 2]) {
      const { log, close } = open(new VirtualClock(NOON), dir);
      log.info({}, `run ${n}`);
      await close();
      await close();
      log.info({}, 'late');
    }
    assert.deepEqual(await messages(join(dir, 'vllm-router.2026-11-03')), ['run 1', 'run 2']);
  });

  const TODAY = 'vllm-router.2026-11-03';

  it('makes folder and file anew when they are removed, and counts what went into the removed one', async () => {
    const clock = new VirtualClock(NOON);
    const at = join(dir, 'logs', 'router');
    const { log, close, dropped, reopened } = open(clock, at);
    log.info({}, 'one');
    await rm(join(dir, 'logs'), { recursive: true });
    log.info({}, 'two');
    assert.deepEqual([dropped(), reopened()], [0, 0]);
    clock.advance(1_000);
    log.info({}, 'three');
    assert.deepEqual([dropped(), reopened()], [2, 1]);
    clock.advance(1_000);
    log.info({}, 'four');
    await close();
    assert.deepEqual(await messages(join(at, TODAY)), ['three', 'four']);
    assert.deepEqual([dropped(), reopened()], [2, 1]);
  });

  it('follows a file that is moved away with another one, and loses nothing', async () => {
    const clock = new VirtualClock(NOON);
    const { log, close, dropped, reopened } = open(clock, dir);
    log.info({}, 'one');
    await rename(join(dir, TODAY), join(dir, 'old'));
    log.info({}, 'two');
    clock.advance(1_000);
    log.info({}, 'three');
    await close();
    assert.deepEqual(await messages(join(dir, 'old')), ['one', 'two']);
    assert.deepEqual(await messages(join(dir, TODAY)), ['three']);
    assert.deepEqual([dropped(), reopened()], [0, 1]);
  });

  it('goes on where the folder cannot be made again, counts every line, and comes back when it can', async () => {
    const clock = new VirtualClock(NOON);
    const at = join(dir, 'logs');
    const { log, close, dropped, reopened } = open(clock, at);
    await rm(at, { recursive: true });
    await writeFile(at, 'in the way');
    // Over midnight, too.
    for (const step of [1_000, 86_400_000, 1_000]) {
      clock.advance(step);
      log.info({}, 'lost');
    }
    await rm(at);
    clock.advance(1_000);
    log.info({}, 'back');
    await close();
    assert.deepEqual(await messages(join(at, 'vllm-router.2026-11-04')), ['back']);
    assert.deepEqual([dropped(), reopened()], [3, 1]);
  });

  it('stops the start when the folder cannot be made', () => {
    assert.throws(() => open(new VirtualClock(NOON), '/dev/null/logs'), /ENOTDIR|EEXIST|ENOENT/);
  });
});

describe('standard output', () => {
  const program = (body: string): string =>
    `import { createLog } from ${JSON.stringify(new URL('./log.ts', import.meta.url).href)};
     const { log, close } = createLog({ level: 'info', format: 'auto', dir: undefined });
     ${body}`;
  const run = promisify(execFile);

  it('has every line after close, and after an exit without one', async () => {
    for (const end of ['await close();', 'process.exit(0);', '']) {
      const source = program(`for (let i = 0; i < 3000; i++) log.info({ i }, 'line'); ${end}`);
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source]);
      assert.equal(stdout.split('\n').length, 3001, end);
    }
  });

  it('has every line after an exit while Node has yet to begin with a write', async () => {
    const busy = `import('node:crypto').then(({ pbkdf2 }) => { pbkdf2('a', 'b', 30000, 32, 'sha256', () => {});`;
    const lines = `for (let i = 0; i < 3000; i++) log.info({ i }, 'line'); process.exit(0); });`;
    const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
    const args = ['--input-type=module', '-e', program(busy + lines)];
    const { stdout } = await run(process.execPath, args, { env });
    assert.equal(stdout.split('\n').length, 3001);
  });

  it('does not fail when its reader leaves', async () => {
    const source = program(
      `for (let i = 0; i < 200000; i++) { log.info({ i }, 'line'); if (i % 1000 === 0) await new Promise((r) => setImmediate(r)); }
       await close(); process.stderr.write('survived');`,
    );
    const shell = `"$0" --input-type=module -e "$1" | head -1`;
    const { stderr } = await run('sh', ['-c', shell, process.execPath, source]);
    assert.match(stderr, /survived/);
  });
});

it('changes its level while it runs, that of its children included', () => {
  const lines: string[] = [];
  const { log, setLevel } = createLog(
    { level: 'info', format: 'json', dir: undefined },
    {
      console: { write: (line) => lines.push(line), close: () => Promise.resolve(), dropped: 0 },
      isTerminal: false,
    },
  );
  const child = log.child({ part: 'x' });
  child.debug({}, 'not yet');
  setLevel('debug');
  child.debug({}, 'now');
  assert.equal(child.isLevelEnabled('debug'), true);
  setLevel('error');
  for (const one of [log, child]) one.warn({}, 'no more');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['now'],
  );
  assert.equal(log.isLevelEnabled('warn'), false);
});
