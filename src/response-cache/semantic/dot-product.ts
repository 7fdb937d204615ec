/** Floats that are multiplied in one turn of the loop: vectors are padded with zeros to a multiple of it. */
export const LANES = 16;

/** The part of WebAssembly's API that is used here: its types come with those of browsers alone. */
interface WebAssemblyApi {
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => Memory;
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => {
    readonly exports: Readonly<Record<string, unknown>>;
  };
}

interface Memory {
  readonly buffer: ArrayBuffer;
}

// Every Node has it.
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyApi };

export interface DotProduct {
  /** Of two vectors of so many bytes, a multiple of `4 * LANES`, in `memory`; addresses are in bytes. */
  readonly dot: (left: number, right: number, bytes: number) => number;
  readonly memory: Memory;
}

/**
 * The sum of products of vectors in memory of its own, four floats by one instruction: some ten times as fast as the same loop in
 * JavaScript, which rounds every product to 64 bits first.
 *
 * @param bytes Of the memory, which does not grow.
 */
export function dotProduct(bytes: number): DotProduct {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { dot } = new WebAssembly.Instance(module(), { env: { memory } }).exports;
  // What the one function takes and gives stands in the module's type section.
  return { dot: dot as DotProduct['dot'], memory };
}

const PAGE_BYTES = 65_536;

let compiled: object | undefined;

function module(): object {
  return (compiled ??= new WebAssembly.Module(encode()));
}

const I32 = 0x7f;
const F32 = 0x7d;
const V128 = 0x7b;
/** Parameters and variables of the function. */
const [LEFT, RIGHT, BYTES, END, FIRST_SUM] = [0, 1, 2, 3, 4];
const SUMS = [0, 1, 2, 3].map((index) => FIRST_SUM + index);

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const addI32 = 0x6a;
const simd = (code: number): number[] => [0xfd, ...unsigned(code)];
const addF32x4 = simd(0xe4);
const multiplyF32x4 = simd(0xe6);
/** `v128.load`, aligned to 16 bytes, so many behind the address in the variable. */
const load = (local: number, offset: number): number[] => [...get(local), ...simd(0x00), 4, offset];
const lane = (index: number): number[] => [...get(FIRST_SUM), ...simd(0x1f), index];
const next = (local: number): number[] => [...get(local), 0x41, ...signed(4 * LANES), addI32, ...set(local)];

/** The module, as the WebAssembly specification has its binary format: one imported memory, one exported function. */
function encode(): Uint8Array<ArrayBuffer> {
  const loop = [
    // Four sums that do not wait for each other.
    ...SUMS.flatMap((sum, index) => [
      ...get(sum),
      ...load(LEFT, 16 * index),
      ...load(RIGHT, 16 * index),
      ...multiplyF32x4,
      ...addF32x4,
      ...set(sum),
    ]),
    ...next(LEFT),
    ...next(RIGHT),
    // While LEFT is below END, once more.
    ...[...get(LEFT), ...get(END), 0x49, 0x0d, 0],
  ];
  const body = [
    ...[2, 1, I32, SUMS.length, V128],
    ...[...get(LEFT), ...get(BYTES), addI32, ...set(END)],
    ...[0x03, 0x40, ...loop, 0x0b],
    ...SUMS.slice(1).flatMap((sum) => [...get(FIRST_SUM), ...get(sum), ...addF32x4, ...set(FIRST_SUM)]),
    ...[...lane(0), ...lane(1), 0x92, ...lane(2), 0x92, ...lane(3), 0x92, 0x0b],
  ];
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I32, I32, I32, 1, F32]),
    ...section(2, [1, ...name('env'), ...name('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('dot'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}
