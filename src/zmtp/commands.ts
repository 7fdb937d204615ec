import { ZmtpFault } from './fault.ts';

/** The commands of ZMTP 3.1 that concern us; any other is passed over, as the protocol asks. */
export type Command =
  | { readonly name: 'READY'; readonly socketType: string }
  | { readonly name: 'ERROR'; readonly reason: string }
  | { readonly name: 'SUBSCRIBE' | 'CANCEL'; readonly topic: Buffer }
  /** `ttlMs`: without a sign of life for that long the connection may be given up; 0 for never. */
  | { readonly name: 'PING'; readonly ttlMs: number; readonly context: Buffer }
  | { readonly name: 'PONG' }
  | { readonly name: 'unknown' };

const LONGEST_CONTEXT_BYTES = 16;
const LONGEST_REASON = 200;

/** @throws ZmtpFault */
export function readCommand(body: Buffer): Command {
  const end = 1 + (body[0] ?? 0);
  if (body.length === 0 || end > body.length) throw new ZmtpFault('malformed', 'a command without a name');
  const data = body.subarray(end);
  const name = body.toString('latin1', 1, end);
  switch (name) {
    case 'READY':
      return { name, socketType: readMetadata(data).get('socket-type') ?? '' };
    case 'ERROR':
      return { name, reason: readable(data.subarray(1, 1 + (data[0] ?? 0))) };
    case 'SUBSCRIBE':
    case 'CANCEL':
      return { name, topic: data };
    case 'PING':
      if (data.length < 2 || data.length > 2 + LONGEST_CONTEXT_BYTES)
        throw new ZmtpFault('malformed', 'a PING of another length');
      return { name, ttlMs: data.readUInt16BE(0) * 100, context: data.subarray(2) };
    case 'PONG':
      return { name };
    default:
      return { name: 'unknown' };
  }
}

/** @param identity what a ROUTER may know this peer by; empty lets it choose. */
export function readyCommand(socketType: string, identity = ''): Buffer {
  const properties = [property('Socket-Type', socketType), property('Identity', identity)];
  return commandOf('READY', Buffer.concat(properties));
}

export function topicCommand(name: 'SUBSCRIBE' | 'CANCEL', topic: Uint8Array): Buffer {
  return commandOf(name, topic);
}

export function pingCommand(ttlMs: number): Buffer {
  const ttl = Buffer.alloc(2);
  ttl.writeUInt16BE(Math.ceil(ttlMs / 100));
  return commandOf('PING', ttl);
}

export function pongCommand(context: Uint8Array): Buffer {
  return commandOf('PONG', context);
}

function commandOf(name: string, data: Uint8Array): Buffer {
  return Buffer.concat([named(name), data]);
}

function named(name: string): Buffer {
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name, 'latin1')]);
}

function property(name: string, value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([named(name), length, bytes]);
}

/** Values by name in lower case: names are compared without regard to case. */
function readMetadata(data: Buffer): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let at = 0;
  while (at < data.length) {
    const nameEnd = at + 1 + data[at]!;
    if (nameEnd + 4 > data.length) throw new ZmtpFault('malformed', 'metadata that is cut off');
    const valueEnd = nameEnd + 4 + data.readUInt32BE(nameEnd);
    if (valueEnd > data.length) throw new ZmtpFault('malformed', 'metadata that is cut off');
    values.set(
      data.toString('latin1', at + 1, nameEnd).toLowerCase(),
      data.toString('latin1', nameEnd + 4, valueEnd),
    );
    at = valueEnd;
  }
  return values;
}

/** A peer's words, fit for a log line. */
function readable(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, LONGEST_REASON);
}
