import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseEnv } from 'node:util';
import { readEnvFile } from './env-file.ts';

const places = (text: string): string[] => readEnvFile(text, 'r.env').problems.map(({ at }) => at);

describe('lines of an env file that stop the start', () => {
  for (const [what, text, expected] of [
    ['a colon instead of =', 'A=1\nVLLM_ROUTER_INBOUND_API_KEY: sk-secret\nB=2', ['r.env:2']],
    ['a space instead of =', 'VLLM_ROUTER_INBOUND_API_KEY sk-secret', ['r.env:1']],
    ['a name alone, exported or not', 'NAME\nexport NAME\n', ['r.env:1', 'r.env:2']],
    ['no name', '=sk-secret', ['r.env:1']],
    ['two names', 'A B=1', ['r.env:1']],
    ['a quote that is not closed', 'A=1\n\nB="sk-secret\nC=1\n', ['r.env:3']],
    ['text behind a closing quote', `A="x" y\nB="z"\nC='x'y`, ['r.env:1', 'r.env:3']],
    ['an escaped quote, which would end the value', 'A="a\\"b"', ['r.env:1']],
    ['a line behind a value of three lines', 'A="1\n2\n3"\nsk-secret\n', ['r.env:4']],
    ['UTF-16', Buffer.from('\u{feff}A=1\n', 'utf16le').toString('utf8'), ['r.env:1', 'r.env:2']],
  ] as const) {
    it(what, () => {
      assert.deepEqual(places(text), expected);
      assert.ok(readEnvFile(text, 'r.env').problems.every(({ message }) => !message.includes('sk-secret')));
    });
  }
});

describe('lines of an env file that are read', () => {
  for (const [what, text] of [
    ['export', 'export A=1\n  export  B = 2'],
    ['CRLF', 'A=1\r\nB="x\r\ny"\r\n\r\n# c\r\nC=3\r\n'],
    ['comments and empty lines', '#a\n  # b: c\n\n \t\nA=1 # c\nB="x # y" # c\nC=a#b\nD=#c\n'],
    ['quotes', `A="x y"\nB='a "b" \\n'\nC=\`it's\`\nD="a\\nb"\nE=""\nF=it's`],
    ['several lines', `A="1\n2"\nB='3\n\n4'\nC=\`5\n6=7\`\n`],
    ['an empty value', 'A=\nB=\nC=x'],
    ['spaces', '  A = 1 2  \nB=\t3\t'],
    ['signs', 'A=a=b\nB-C=1\nB.C=2\n1A=x\nU=http://u:p@h/?a=b'],
    ['the last of two', 'A=1\nA=2'],
    ['nothing', ''],
  ] as const) {
    it(what, () => {
      const { variables, problems } = readEnvFile(text, 'r.env');
      assert.deepEqual(problems, []);
      // Node's reader knows no problems, and agrees on everything that is none.
      assert.deepEqual({ ...variables }, { ...parseEnv(text.replaceAll('\r\n', '\n')) });
    });
  }

  it('where Node takes the next line for the value, and loses names', () => {
    const { variables } = readEnvFile('B=  \nC=x\nexport\tD=1\n__proto__=y', 'r.env');
    assert.deepEqual(Object.entries(variables), [
      ['B', ''],
      ['C', 'x'],
      ['D', '1'],
      ['__proto__', 'y'],
    ]);
  });

  it('a byte order mark, and line ends of CR alone', () => {
    const { variables, problems } = readEnvFile('\u{feff}A=1\rB=2\r', 'r.env');
    assert.deepEqual([{ ...variables }, problems], [{ A: '1', B: '2' }, []]);
  });
});
