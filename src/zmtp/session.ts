import { pongCommand, readCommand, readyCommand, topicCommand } from './commands.ts';
import { ZmtpFault } from './fault.ts';
import { encodeCommand, encodeMessage, FrameReader, type FrameLimits } from './frames.ts';
import { checkGreeting, GREETING, GREETING_BYTES, sharedMinor } from './greeting.ts';

export type SocketType = 'SUB' | 'PUB' | 'DEALER' | 'ROUTER' | 'PUSH' | 'PULL';

/** Who may be at the other end of each: RFC 28, 29 and 30 of ZeroMQ. */
const PEERS: Readonly<Record<SocketType, readonly string[]>> = {
  SUB: ['PUB', 'XPUB'],
  PUB: ['SUB', 'XSUB'],
  DEALER: ['REP', 'DEALER', 'ROUTER'],
  ROUTER: ['REQ', 'DEALER', 'ROUTER'],
  PUSH: ['PULL'],
  PULL: ['PUSH'],
};

const SUBSCRIBES = 1;
const CANCELS = 0;

export interface SessionEvents {
  write(bytes: Buffer): void;
  /** Both sides have said READY. */
  onReady(): void;
  /** Frames may be windows on the bytes given to `push`: who keeps them copies them. */
  onMessage(frames: readonly Buffer[]): void;
  /** A subscriber wants, or no longer wants, what begins with these bytes. */
  onSubscription(topic: Buffer, wanted: boolean): void;
  /** The peer says how long it may be silent: 0 is no limit. */
  onPing(ttlMs: number): void;
}

/** One side of a connection, apart from sockets and time: bytes go in, bytes and messages come out. */
export class Session {
  readonly #type: SocketType;
  readonly #events: SessionEvents;
  readonly #frames: FrameReader;
  readonly #greeting = Buffer.alloc(GREETING_BYTES);
  #greetingBytes = 0;
  /** 1: commands of ZMTP 3.1 are understood. */
  #minor = 0;
  #begun = false;
  #ready = false;

  constructor(type: SocketType, limits: FrameLimits, events: SessionEvents) {
    this.#type = type;
    this.#events = events;
    this.#frames = new FrameReader(limits, {
      onCommand: (body) => this.#onCommand(body),
      onMessage: (frames) => this.#onMessage(frames),
    });
  }

  /** Whether a connection came about. */
  get begun(): boolean {
    return this.#begun;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Whether a PING is answered. */
  get knowsPing(): boolean {
    return this.#minor >= 1;
  }

  /** Bytes of the message that is being read. */
  get waitingBytes(): number {
    return this.#frames.waitingBytes;
  }

  begin(): void {
    this.#begun = true;
    this.#events.write(GREETING);
  }

  /** @throws ZmtpFault */
  push(bytes: Buffer): void {
    const rest = this.#greetingBytes < GREETING_BYTES ? this.#readGreeting(bytes) : bytes;
    if (rest.length > 0) this.#frames.push(rest);
  }

  sendMessage(frames: readonly Uint8Array[]): void {
    this.#events.write(encodeMessage(frames));
  }

  sendCommand(body: Uint8Array): void {
    this.#events.write(encodeCommand(body));
  }

  subscribe(topic: Uint8Array): void {
    if (this.#minor >= 1) this.sendCommand(topicCommand('SUBSCRIBE', topic));
    else this.sendMessage([Buffer.concat([Buffer.from([SUBSCRIBES]), topic])]);
  }

  /** @returns what stands behind the greeting. */
  #readGreeting(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#greeting, this.#greetingBytes);
    this.#greetingBytes += taken;
    const come = this.#greeting.subarray(0, this.#greetingBytes);
    if (this.#greetingBytes < GREETING_BYTES) {
      checkGreeting(come);
      return bytes.subarray(taken);
    }
    this.#minor = sharedMinor(come);
    this.sendCommand(readyCommand(this.#type));
    return bytes.subarray(taken);
  }

  #onCommand(body: Buffer): void {
    const command = readCommand(body);
    if (!this.#ready && command.name !== 'READY' && command.name !== 'ERROR')
      throw new ZmtpFault('malformed', 'a command before READY');
    switch (command.name) {
      case 'ERROR':
        throw new ZmtpFault('refused', `it says ERROR: ${command.reason}`);
      case 'READY':
        this.#onReady(command.socketType);
        return;
      case 'SUBSCRIBE':
      case 'CANCEL':
        this.#events.onSubscription(command.topic, command.name === 'SUBSCRIBE');
        return;
      case 'PING':
        this.#events.onPing(command.ttlMs);
        this.sendCommand(pongCommand(command.context));
        return;
      case 'PONG':
      case 'unknown':
    }
  }

  #onReady(socketType: string): void {
    if (this.#ready) throw new ZmtpFault('malformed', 'a second READY');
    if (!PEERS[this.#type].includes(socketType)) {
      const is = JSON.stringify(socketType.slice(0, 16));
      throw new ZmtpFault('refused', `its socket is ${is}, not ${PEERS[this.#type].join(' or ')}`);
    }
    this.#ready = true;
    this.#events.onReady();
  }

  #onMessage(frames: readonly Buffer[]): void {
    if (!this.#ready) throw new ZmtpFault('malformed', 'a message before READY');
    const [first] = frames;
    // Before 3.1 subscriptions are messages.
    if (this.#type === 'PUB') {
      const kind = first?.[0];
      if (first && (kind === SUBSCRIBES || kind === CANCELS))
        this.#events.onSubscription(first.subarray(1), kind === SUBSCRIBES);
      return;
    }
    this.#events.onMessage(frames);
  }
}
