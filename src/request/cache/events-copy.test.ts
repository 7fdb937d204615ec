import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chatShape } from '../../response-cache/replay/chat-shape.ts';
import { EventsCopy } from './events-copy.ts';

const HEAD = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm' };
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };

function streamOf(texts: readonly string[], lineEnd: string, begins = `: hello${lineEnd}${lineEnd}`): Buffer {
  const choice = (delta: object, reason: string | null = null): object => ({
    ...HEAD,
    choices: [{ index: 0, delta, finish_reason: reason }],
  });
  const events = [
    choice({ role: 'assistant', content: '' }),
    ...texts.map((content) => choice({ content })),
    choice({}, 'stop'),
    { ...HEAD, choices: [], usage: USAGE },
  ];
  const data = [...events.map((event) => JSON.stringify(event)), '[DONE]'];
  return Buffer.from(`${begins}${data.map((one) => `data: ${one}${lineEnd}${lineEnd}`).join('')}`);
}

describe('the copy of a stream', () => {
  it('is the same however the stream is cut and its lines end', () => {
    const stream = fc.record({
      texts: fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 5 }),
      lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
      cuts: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
    });
    fc.assert(
      fc.property(stream, ({ texts, lineEnd, cuts }) => {
        const bytes = streamOf(texts, lineEnd);
        const copy = new EventsCopy(chatShape.assembler(), 1024 * 1024);
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const end = at + (cuts[turn % cuts.length] ?? 1);
          assert.equal(copy.push(bytes.subarray(at, end)), undefined);
          at = end;
        }
        const answer = JSON.parse(copy.take()?.toString() ?? '') as {
          choices: { message: object }[];
          usage: object;
        };
        assert.deepEqual(answer.usage, USAGE);
        assert.equal((answer.choices[0]?.message as { content: string }).content, texts.join(''));
      }),
    );
  });

  it('ends where the stream says so, and keeps calls apart or is given up', () => {
    const copy = new EventsCopy(chatShape.assembler(), 1024 * 1024);
    copy.push(streamOf(['a'], '\n'));
    copy.push(streamOf(['b'], '\n'));
    const answer = JSON.parse(copy.take()?.toString() ?? '') as { choices: { message: object }[] };
    assert.equal((answer.choices[0]?.message as { content: string }).content, 'a');
    const call = (id: string): string => {
      const tool_calls = [{ index: 0, id, function: { name: 'f', arguments: '{}' } }];
      return `data: ${JSON.stringify({ ...HEAD, choices: [{ index: 0, delta: { tool_calls } }] })}\n\n`;
    };
    const calls = new EventsCopy(chatShape.assembler(), 1024 * 1024);
    assert.equal(calls.push(Buffer.from(call('one') + call('one'))), undefined);
    assert.equal(calls.push(Buffer.from(call('other'))), 'not_replayable');
  });

  it('is whole where the stream begins with a byte order mark', () => {
    const copy = new EventsCopy(chatShape.assembler(), 1024 * 1024);
    assert.equal(copy.push(streamOf(['a'], '\n', '\ufeff')), undefined);
    const answer = JSON.parse(copy.take()?.toString() ?? '') as { choices: { message: { role: string } }[] };
    assert.equal(answer.choices[0]?.message.role, 'assistant');
    const only = new EventsCopy(chatShape.assembler(), 1024 * 1024);
    assert.equal(only.push(Buffer.from('\ufeffdata: {"error":{}}\n\n')), 'not_replayable');
  });

  it('is given up where it grows too large, in one line or in all, or cannot be read', () => {
    const push = (text: string): string | undefined =>
      new EventsCopy(chatShape.assembler(), 1024 * 1024).push(Buffer.from(text));
    assert.equal(push(`data: {"x":"${'y'.repeat(1024 * 1024)}`), 'too_large');
    assert.equal(push(`: y\n`.repeat(1_100_000)), 'too_large');
    assert.equal(push('data: {"choices":[}\n\n'), 'not_replayable');
    assert.equal(push('data: {"error":{"message":"no"}}\n\n'), 'not_replayable');
    assert.equal(push('data: 7\n\n'), 'not_replayable');
  });
});
