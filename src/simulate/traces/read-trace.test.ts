import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { LineSplitter, MOST_LINE_BYTES } from './line-splitter.ts';
import { guessFormat, MOST_PROBLEMS, readTrace, type ReadTrace, type TraceFormat } from './read-trace.ts';

const scratch = mkdtempSync(join(tmpdir(), 'vllm-router-traces-'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});
let files = 0;

function read(text: string | Buffer, format: TraceFormat, ending = ''): Promise<ReadTrace> {
  const path = join(scratch, `trace-${String((files += 1))}${ending}`);
  writeFileSync(path, text);
  return readTrace(path, format, 1);
}

const told = ({ problems }: ReadTrace): string[] =>
  problems.map(({ line, message }) => `${line}: ${message}`);
const times = ({ trace }: ReadTrace): number[] => trace.requests.map(({ at }) => at);

const mooncake = (timestamp: number, ids: readonly number[] = [1, 2], input = 1100): string =>
  JSON.stringify({ timestamp, input_length: input, output_length: 10, hash_ids: ids });

describe('a Mooncake trace', () => {
  it('is read line by line', async () => {
    const result = await read(`${mooncake(0)}\n${mooncake(3000, [1, 3, 4], 1536)}\n`, 'mooncake');
    assert.deepEqual(told(result), []);
    const [first, second] = result.trace.requests;
    assert.deepEqual(times(result), [0, 3000]);
    assert.equal(result.trace.blockSize, 512);
    // Only full blocks: of 1,100 tokens two, of 1,536 three.
    assert.deepEqual([first?.blocks.count, second?.blocks.count], [2, 3]);
    assert.deepEqual(first?.blocks.hashes.slice(0, 2), second?.blocks.hashes.slice(0, 2));
    assert.notDeepEqual(first?.blocks.hashes.slice(2, 4), second?.blocks.hashes.slice(2, 4));
  });

  it('may be zipped, begin with a byte order mark, have other line ends, empty lines and more columns', async () => {
    const more = JSON.stringify({ ...(JSON.parse(mooncake(5)) as object), user: 'x' });
    const text = `\uFEFF${mooncake(1)}\r\n\r\n${more}`;
    for (const result of [await read(text, 'mooncake'), await read(gzipSync(text), 'mooncake', '.gz')]) {
      assert.deepEqual(told(result), []);
      assert.deepEqual(times(result), [0, 4]);
    }
  });

  it('tells each line that cannot be used, and goes on without it', async () => {
    const wrong = [
      ['{"timestamp": 1', 'not valid JSON'],
      ['[1]', 'timestamp is not a number of ms'],
      ['7', 'not a JSON object'],
      [JSON.stringify({ timestamp: 1 }), 'input_length is not a number of tokens'],
      [mooncake(1).replace('1100', '0'), 'input_length is not a number of tokens'],
      [mooncake(1).replace('1100', '1.5'), 'input_length is not a number of tokens'],
      [mooncake(1).replace('1100', '1e15'), 'input_length is not a number of tokens'],
      [mooncake(1).replace(':10', ':-1'), 'output_length is not a number of tokens'],
      [mooncake(1).replace('[1,2]', '["1"]'), 'hash_ids is not a list of whole numbers'],
      [mooncake(1).replace('"timestamp":1', '"timestamp":"1"'), 'timestamp is not a number of ms'],
    ];
    const lines = [mooncake(0), ...wrong.map(([line]) => line), mooncake(9)];
    const result = await read(lines.join('\n'), 'mooncake');
    assert.deepEqual(
      told(result),
      wrong.map(([, message], index) => `${index + 2}: ${message}`),
    );
    assert.deepEqual(times(result), [0, 9]);
  });

  it('is put in order, and begins at 0', async () => {
    const result = await read([2000, 1000, 3000, 2500].map((at) => mooncake(at)).join('\n'), 'mooncake');
    assert.deepEqual(told(result), [
      '2: out of order: it came 1000 ms before one above',
      '4: out of order: it came 500 ms before one above',
    ]);
    assert.deepEqual(times(result), [0, 1000, 1500, 2000]);
  });

  it('tells of a gap, and keeps it', async () => {
    const result = await read(`${mooncake(0)}\n${mooncake(700_000)}`, 'mooncake');
    assert.deepEqual(told(result), ['2: a gap of 700 s before it']);
    assert.deepEqual(times(result), [0, 700_000]);
  });

  it('keeps what a truncated file still has', async () => {
    const whole = Array.from({ length: 50 }, (_, at) => mooncake(at)).join('\n');
    const cut = await read(whole.slice(0, -20), 'mooncake');
    assert.deepEqual(told(cut), ['50: not valid JSON']);
    assert.equal(cut.trace.requests.length, 49);
  });

  it('keeps what a truncated zipped file still has', async () => {
    // Contents that do not shrink: so much of them is in the half that is left.
    let state = 1;
    const ids = (): number[] => Array.from({ length: 30 }, () => (state = (state * 48271) % 2147483647));
    const whole = gzipSync(Array.from({ length: 400 }, (_, at) => mooncake(at, ids(), 30 * 512)).join('\n'));
    const result = await read(whole.subarray(0, whole.length / 2), 'mooncake', '.gz');
    const { length } = result.trace.requests;
    assert.ok(length > 100 && length < 300, `${length} requests`);
    assert.match(
      told(result).at(-1) ?? '',
      /^\d+: the compressed file breaks off here: unexpected end of file$/,
    );
    assert.ok((result.problems.at(-1)?.line ?? 0) >= length);
    const none = await read('not zipped', 'mooncake', '.gz');
    assert.deepEqual(told(none), ['1: the compressed file breaks off here: incorrect header check']);
  });

  it('has no requests when it is empty, and is an error when it is not there', async () => {
    assert.deepEqual((await read('', 'mooncake')).trace.requests, []);
    await assert.rejects(readTrace(join(scratch, 'nowhere.jsonl'), 'mooncake', 1), /ENOENT/);
    await assert.rejects(readTrace(join(scratch, 'nowhere.jsonl.gz'), 'mooncake', 1), /ENOENT/);
    await assert.rejects(readTrace(scratch, 'sharegpt', 1), /EISDIR/);
  });

  it('keeps a bounded number of problems, and counts them all', async () => {
    const result = await read('x\n'.repeat(1000), 'mooncake');
    assert.equal(result.problems.length, MOST_PROBLEMS);
    assert.equal(result.problemCount, 1000);
  });
});

describe('lines', () => {
  it('come out whole, however they were cut, and never too long', () => {
    const lines: string[] = [];
    const tooLong: number[] = [];
    const splitter = new LineSplitter(
      (line, number) => lines.push(`${number} ${line}`),
      (number) => tooLong.push(number),
    );
    const text = Buffer.from('zwölf\nélan\n\nend');
    for (const byte of text) splitter.take(Buffer.of(byte));
    splitter.take(Buffer.from('\n'));
    for (let size = 0; size <= MOST_LINE_BYTES; size += 1024 * 1024)
      splitter.take(Buffer.alloc(1024 * 1024, 65));
    splitter.take(Buffer.from('\nafter'));
    splitter.end();
    assert.deepEqual(lines, ['1 zwölf', '2 élan', '4 end', '6 after']);
    assert.deepEqual(tooLong, [5]);
  });
});

describe('an Azure trace', () => {
  const head = 'TIMESTAMP,ContextTokens,GeneratedTokens';

  it('is read by the names of its columns, in any order and with others beside them', async () => {
    const result = await read(
      [
        '\uFEFF"GeneratedTokens",Region,TIMESTAMP,ContextTokens',
        '44,eu,2023-11-16 18:15:46.6805900,4808',
        '10,eu,2023-11-16 18:15:47.1805900,130',
        '0,us,"2023-11-16 18:15:48",64',
      ].join('\r\n'),
      'azure',
    );
    assert.deepEqual(told(result), []);
    assert.deepEqual(
      result.trace.requests.map(({ promptTokens, outputTokens, blocks }) => [
        promptTokens,
        outputTokens,
        blocks.count,
      ]),
      [
        [4808, 44, 75],
        [130, 10, 2],
        [64, 0, 1],
      ],
    );
    assert.deepEqual(times(result).map(Math.round), [0, 500, 1319]);
    const keys = result.trace.requests.flatMap(({ blocks }) => [...blocks.hashes.slice(0, 2)].join());
    assert.equal(new Set(keys).size, 3);
  });

  it('tells once that its columns are not there', async () => {
    const result = await read('a,b\n1,2\n3,4\n', 'azure');
    assert.deepEqual(told(result), [
      '1: the first line must name the columns TIMESTAMP, ContextTokens and GeneratedTokens',
    ]);
  });

  it('tells what is wrong with a line', async () => {
    const result = await read(
      [head, 'soon,1,1', '1,x,1', '2,1,', '3,1', '4,99999999999,1', '5,7,8'].join('\n'),
      'azure',
    );
    assert.deepEqual(told(result), [
      '2: TIMESTAMP is not a time',
      '3: ContextTokens is not a number of tokens',
      '4: GeneratedTokens is not a number of tokens',
      '5: GeneratedTokens is not a number of tokens',
      '6: ContextTokens is not a number of tokens',
    ]);
    assert.equal(result.trace.requests.length, 1);
  });
});

describe('a ShareGPT file', () => {
  const talk = (...texts: string[]): object => ({
    conversations: texts.map((value, index) => ({ from: index % 2 === 0 ? 'human' : 'gpt', value })),
  });
  const long = (word: string): string => `${word} `.repeat(400);

  it('has a request for every answer, whose prompt is all that was said before', async () => {
    const text = JSON.stringify([
      talk(long('one'), 'a'.repeat(40), long('two'), 'b'.repeat(80)),
      talk(long('three'), 'c'),
    ]);
    const result = await read(`\uFEFF${text}`, 'sharegpt');
    assert.deepEqual(told(result), []);
    const { requests } = result.trace;
    assert.equal(requests.length, 3);
    const [first, second] = requests.filter(({ session }) => session === '0');
    assert.deepEqual([first?.outputTokens, second?.outputTokens], [10, 20]);
    assert.ok((second?.promptTokens ?? 0) > (first?.promptTokens ?? 0));
    assert.ok((second?.at ?? 0) > (first?.at ?? 0));
    const shared = first?.blocks.count ?? 0;
    assert.ok(shared > 2);
    assert.deepEqual(second?.blocks.hashes.slice(0, 2 * shared), first?.blocks.hashes.slice(0, 2 * shared));
    assert.equal(requests[0]?.at, 0);
    assert.deepEqual(await read(`\uFEFF${text}`, 'sharegpt').then(times), times(result));
  });

  it('tells the line of a conversation that cannot be used', async () => {
    const items = [
      JSON.stringify(talk('Tricky: ] } , " \\ [', 'x')),
      '{"conversations": 5}',
      '{"conversations": [{"from": "human"}]}',
      '{nonsense}',
      '"text"',
      JSON.stringify(talk('hello', 'y')),
    ];
    const result = await read(`[\n${items.join(',\n')}\n]\n`, 'sharegpt');
    assert.deepEqual(told(result), [
      '3: conversation 2: no list of conversations',
      '4: conversation 3: a turn without from and value',
      '5: conversation 4: not valid JSON',
      '6: conversation 5: no list of conversations',
    ]);
    assert.equal(result.trace.requests.length, 2);
  });

  it('keeps what a truncated file still has', async () => {
    const text = JSON.stringify([talk('a', 'b'), talk('c', 'd'), talk('e', 'f')], null, 1);
    const cut = await read(text.slice(0, -40), 'sharegpt');
    assert.equal(cut.trace.requests.length, 2);
    assert.equal(told(cut).length, 1);
    assert.match(told(cut)[0] ?? '', /^\d+: conversation 3: the file ends within it$/);
    const open = await read('[{"conversations": []},\n', 'sharegpt');
    assert.deepEqual(told(open), ['2: the file ends without the end of its array']);
    const zipped = gzipSync(JSON.stringify([talk('a', 'b')]));
    const broken = await read(zipped.subarray(0, -8), 'sharegpt', '.gz');
    assert.equal(broken.trace.requests.length, 1);
    assert.deepEqual(told(broken), ['1: the compressed file breaks off here: unexpected end of file']);
  });

  it('must be an array', async () => {
    for (const text of ['', '{}', 'x', '\n\n'])
      assert.deepEqual(told(await read(text, 'sharegpt')), ['1: not a JSON array of conversations']);
    assert.deepEqual(told(await read(' [ ] ', 'sharegpt')), []);
  });
});

describe('the format', () => {
  it('is guessed from the name', () => {
    assert.deepEqual(
      ['a.jsonl', 'a.jsonl.gz', 'a.csv', 'a.json', 'a.json.gz', 'a.txt', 'a.gz'].map(guessFormat),
      ['mooncake', 'mooncake', 'azure', 'sharegpt', 'sharegpt', undefined, undefined],
    );
  });
});
