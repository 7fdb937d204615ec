import { seededRandom } from '../../src/base/random.ts';

/**
 * A language model for tests, made up on the spot: llama architecture, two layers, seeded random weights, about 0.5 MB
 * as a GGUF file (version 3, all tensors f32). It talks nonsense, but a real engine runs it like any other model: real
 * tokens, a real KV cache, a real context limit.
 */
export const CONTEXT_LENGTH = 2048;

const WIDTH = 64;
const HEADS = 4;
const FEED_FORWARD = 128;
const LAYERS = 2;

/** Type numbers of the GGUF format. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const ALIGNMENT = 32;

/** Kinds of vocabulary entries (llama.cpp's `llama_token_type`). */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const BYTE = 6;

interface Token {
  readonly text: string;
  readonly kind: number;
  /** Whether the model may say it. */
  readonly spoken: boolean;
}

interface Tensor {
  readonly name: string;
  /** Fastest-growing first. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The file's bytes; the same for the same seed. */
export function tinyGguf(seed = 1): Buffer {
  const tokens = vocabulary();
  const tensors = weights(tokens, seed);
  const file = new GgufFile();
  file.bytes(Buffer.from('GGUF'));
  file.uint32(3);
  file.uint64(tensors.length);
  const metadata = metadataOf(tokens);
  file.uint64(metadata.length);
  for (const [key, write] of metadata) {
    file.string(key);
    write(file);
  }
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    file.string(name);
    file.uint32(shape.length);
    for (const length of shape) file.uint64(length);
    file.uint32(0); // f32
    file.uint64(offset);
    offset += Math.ceil(values.byteLength / ALIGNMENT) * ALIGNMENT;
  }
  for (const { values } of tensors) {
    file.align();
    file.bytes(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  }
  file.align();
  return file.finish();
}

/** Bytes for whatever text comes, letters and syllables for what is common: so texts are about 1.5 characters a token. */
function vocabulary(): readonly Token[] {
  const tokens: Token[] = [
    { text: '<unk>', kind: UNKNOWN, spoken: false },
    { text: '<s>', kind: CONTROL, spoken: false },
    { text: '</s>', kind: CONTROL, spoken: false },
  ];
  for (let byte = 0; byte < 256; byte += 1) {
    const text = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    tokens.push({ text, kind: BYTE, spoken: false });
  }
  for (const consonant of 'bcdfghjklmnpqrstvwxz')
    for (const vowel of 'aeiouy') tokens.push({ text: consonant + vowel, kind: NORMAL, spoken: true });
  for (let code = 33; code < 127; code += 1) {
    const text = String.fromCharCode(code);
    tokens.push({ text, kind: NORMAL, spoken: /[a-z.,]/.test(text) });
  }
  // How SentencePiece spells a space.
  tokens.push({ text: '\u2581', kind: NORMAL, spoken: true });
  return tokens;
}

function metadataOf(tokens: readonly Token[]): readonly [key: string, write: (file: GgufFile) => void][] {
  const uint = (value: number) => (file: GgufFile) => {
    file.uint32(UINT32);
    file.uint32(value);
  };
  const text = (value: string) => (file: GgufFile) => {
    file.uint32(STRING);
    file.string(value);
  };
  const list =
    (type: number, write: (file: GgufFile, token: Token, index: number) => void) => (file: GgufFile) => {
      file.uint32(ARRAY);
      file.uint32(type);
      file.uint64(tokens.length);
      for (const [index, token] of tokens.entries()) write(file, token, index);
    };
  return [
    ['general.architecture', text('llama')],
    ['general.name', text('tiny')],
    ['general.alignment', uint(ALIGNMENT)],
    ['llama.context_length', uint(CONTEXT_LENGTH)],
    ['llama.embedding_length', uint(WIDTH)],
    ['llama.block_count', uint(LAYERS)],
    ['llama.feed_forward_length', uint(FEED_FORWARD)],
    ['llama.attention.head_count', uint(HEADS)],
    ['llama.attention.head_count_kv', uint(HEADS)],
    ['llama.rope.dimension_count', uint(WIDTH / HEADS)],
    ['llama.vocab_size', uint(tokens.length)],
    [
      'llama.attention.layer_norm_rms_epsilon',
      (file) => {
        file.uint32(FLOAT32);
        file.float32(1e-5);
      },
    ],
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.tokens', list(STRING, (file, token) => file.string(token.text))],
    // The tokenizer merges neighbours into the token with the highest score: earlier entries win.
    ['tokenizer.ggml.scores', list(FLOAT32, (file, _token, index) => file.float32(-index))],
    ['tokenizer.ggml.token_type', list(INT32, (file, token) => file.uint32(token.kind))],
    ['tokenizer.ggml.unknown_token_id', uint(0)],
    ['tokenizer.ggml.bos_token_id', uint(1)],
    ['tokenizer.ggml.eos_token_id', uint(2)],
    [
      'tokenizer.ggml.add_space_prefix',
      (file) => {
        file.uint32(BOOL);
        file.bytes(Buffer.of(0));
      },
    ],
  ];
}

function weights(tokens: readonly Token[], seed: number): readonly Tensor[] {
  const random = seededRandom(seed);
  const tensor = (name: string, shape: readonly number[], value: (index: number) => number): Tensor => {
    const size = shape.reduce((product, length) => product * length, 1);
    return { name, shape, values: Float32Array.from({ length: size }, (_, index) => value(index)) };
  };
  const spread = (width: number) => () => (2 * random() - 1) * width;
  const one = (): number => 1;
  const square = [WIDTH, WIDTH];
  const layer = (index: number): Tensor[] => {
    const name = (part: string): string => `blk.${index}.${part}.weight`;
    return [
      tensor(name('attn_norm'), [WIDTH], one),
      tensor(name('attn_q'), square, spread(0.3)),
      tensor(name('attn_k'), square, spread(0.3)),
      tensor(name('attn_v'), square, spread(0.3)),
      tensor(name('attn_output'), square, spread(0.3)),
      tensor(name('ffn_norm'), [WIDTH], one),
      tensor(name('ffn_gate'), [WIDTH, FEED_FORWARD], spread(0.2)),
      tensor(name('ffn_up'), [WIDTH, FEED_FORWARD], spread(0.2)),
      tensor(name('ffn_down'), [FEED_FORWARD, WIDTH], spread(0.2)),
    ];
  };
  const head = spread(0.5);
  return [
    tensor('token_embd.weight', [WIDTH, tokens.length], spread(0.5)),
    ...Array.from({ length: LAYERS }, (_, index) => layer(index)).flat(),
    tensor('output_norm.weight', [WIDTH], one),
    // A row of zeros scores zero, which some other token always beats: so the model never says control tokens or bytes.
    tensor('output.weight', [WIDTH, tokens.length], (index) =>
      tokens[Math.floor(index / WIDTH)]?.spoken ? head() : 0,
    ),
  ];
}

/** Little-endian, as GGUF is. */
class GgufFile {
  readonly #parts: Buffer[] = [];
  #length = 0;

  bytes(part: Buffer): void {
    this.#parts.push(part);
    this.#length += part.length;
  }

  uint32(value: number): void {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    this.bytes(part);
  }

  uint64(value: number): void {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    this.bytes(part);
  }

  float32(value: number): void {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    this.bytes(part);
  }

  string(text: string): void {
    const part = Buffer.from(text);
    this.uint64(part.length);
    this.bytes(part);
  }

  align(): void {
    this.bytes(Buffer.alloc(-this.#length & (ALIGNMENT - 1)));
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
