import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const LONGEST_MESSAGE = 16 * 1024 * 1024;

export interface SocketMessage {
  readonly data: Buffer;
  readonly binary: boolean;
}

/** As much of RFC 6455 as a test needs: unfragmented messages both ways, ping and close answered. */
export class WebSocketPeer {
  readonly #socket: Duplex;
  #pending: Buffer = Buffer.alloc(0);
  #onMessage: (message: SocketMessage) => void = () => undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Starts reading; `head` is what came together with the upgrade request. */
  open(head: Buffer, onMessage: (message: SocketMessage) => void): void {
    this.#onMessage = onMessage;
    this.#socket.on('data', (part: Buffer) => this.#read(part));
    if (head.length > 0) this.#read(head);
  }

  send(data: string | Buffer): void {
    const payload = Buffer.from(data);
    this.#frame(typeof data === 'string' ? OPCODE.text : OPCODE.binary, payload);
  }

  close(code = 1000): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#frame(OPCODE.close, payload);
    this.#socket.end();
  }

  #read(part: Buffer): void {
    this.#pending = this.#pending.length === 0 ? part : Buffer.concat([this.#pending, part]);
    for (;;) {
      const frame = takeFrame(this.#pending);
      if (frame === 'incomplete') return;
      if (frame === 'broken') {
        this.close(1002);
        return;
      }
      this.#pending = this.#pending.subarray(frame.size);
      if (frame.opcode === OPCODE.ping) this.#frame(OPCODE.pong, frame.data);
      else if (frame.opcode === OPCODE.close) {
        this.close();
        return;
      } else if (frame.opcode === OPCODE.text || frame.opcode === OPCODE.binary) {
        this.#onMessage({ data: frame.data, binary: frame.opcode === OPCODE.binary });
      }
    }
  }

  #frame(opcode: number, payload: Buffer): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const { length } = payload;
    const head = length < 126 ? Buffer.alloc(2) : length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
    if (head.length === 4) head.writeUInt16BE(length, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
    this.#socket.write(Buffer.concat([head, payload]));
  }
}

interface Frame {
  readonly opcode: number;
  readonly data: Buffer;
  /** Bytes taken, head included. */
  readonly size: number;
}

/** The first frame of `bytes`, unmasked. Clients must mask; fragments are not understood. */
function takeFrame(bytes: Buffer): Frame | 'incomplete' | 'broken' {
  if (bytes.length < 2) return 'incomplete';
  const first = bytes.readUInt8(0);
  const second = bytes.readUInt8(1);
  if ((first & 0x80) === 0 || (second & 0x80) === 0) return 'broken';
  let length = second & 0x7f;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return 'incomplete';
    length = bytes.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return 'incomplete';
    length = Number(bytes.readBigUInt64BE(2));
    at = 10;
  }
  if (length > LONGEST_MESSAGE) return 'broken';
  if (bytes.length < at + 4 + length) return 'incomplete';
  const mask = bytes.subarray(at, at + 4);
  const data = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
  for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) ^ (mask[i & 3] ?? 0);
  return { opcode: first & 0x0f, data, size: at + 4 + length };
}

/** Accepts the upgrade; undefined, with a 400 sent, when the key is missing. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex): WebSocketPeer | undefined {
  const key = request.headers['sec-websocket-key'];
  if (key === undefined) {
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    return undefined;
  }
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  return new WebSocketPeer(socket);
}
